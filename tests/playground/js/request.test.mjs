import assert from "node:assert/strict";
import { test } from "node:test";

import { balance, count, dollars, duration, fill, rate } from "../../../static/js/playground/format.js";
import { read, runFrame, show } from "../../../static/js/playground/request.js";

const temperature = { name: "temperature", kind: "number", initial: "1", low: "0", high: "2" };
const maxTokens = { name: "max_tokens", kind: "integer", initial: "", low: "1", high: "2147483647" };
const stop = { name: "stop", kind: "lines", initial: "", low: "", high: "" };

/** @returns {any} */
function turn(role, content) {
  return { role, content, status: "still", calls: [], callId: "" };
}

test("a parameter that was left alone is not sent", () => {
  assert.deepEqual(read(temperature, "1"), {});
  assert.deepEqual(read(maxTokens, " "), {});
  assert.deepEqual(read(stop, "\n"), {});
});

test("a parameter is sent as its kind", () => {
  assert.deepEqual(read(temperature, "0"), { value: 0 });
  assert.deepEqual(read(maxTokens, "64"), { value: 64 });
  assert.deepEqual(read(stop, "###\n\\n\\n"), { value: ["###", "\n\n"] });
});

test("what is out of range is named and not sent", () => {
  assert.deepEqual(read(temperature, "2.1"), { wrong: "range" });
  assert.deepEqual(read(temperature, "warm"), { wrong: "number" });
  assert.deepEqual(read(temperature, "1e999"), { wrong: "number" });
  assert.deepEqual(read(maxTokens, "1.5"), { wrong: "integer" });
  assert.deepEqual(read(maxTokens, "0"), { wrong: "range" });
  assert.deepEqual(read(stop, "a\nb\nc\nd\ne"), { wrong: "lines" });
});

test("a value comes back as it was written", () => {
  for (const text of ["###\n\\n", "a"]) assert.equal(show(stop, read(stop, text).value), text);
  assert.equal(show(temperature, undefined), "1");
  assert.equal(show(temperature, 0.5), "0.5");
});

test("a frame holds the system prompt, the turns and no waiting answer", () => {
  const frame = runFrame({
    id: "r1",
    mode: "chat",
    settings: { model: "starter", system: "Be {{tone}}", parameters: { temperature: 0 } },
    turns: [turn("user", "hi {{name}} {{other}}"), { ...turn("assistant", ""), status: "waiting" }],
    variables: { tone: "brief", name: "$&", other: "" },
    conversation: "",
  });
  assert.deepEqual(frame, {
    type: "run",
    id: "r1",
    model: "starter",
    messages: [
      { role: "system", content: "Be brief" },
      { role: "user", content: "hi $& {{other}}" },
    ],
    parameters: { temperature: 0 },
    conversation: "new",
  });
});

test("braces of an answer are its own", () => {
  const turns = [turn("user", "a {{name}}"), { ...turn("assistant", "{{name}}"), requestId: "req_1" }];
  const settings = { model: "m", system: "", parameters: {} };
  const frame = runFrame({ id: "r1", mode: "chat", settings, turns, variables: { name: "page" } });
  assert.deepEqual(frame.messages.map(({ content }) => content), ["a page", "{{name}}"]);
});

test("a frame that is not to be kept names no conversation", () => {
  const settings = { model: "m", system: " ", parameters: {} };
  const frame = runFrame({ id: "r1", mode: "chat", settings, turns: [] });
  assert.equal("conversation" in frame, false);
  assert.deepEqual(frame.messages, []);
});

test("a frame holds calls of tools and what the tools answered", () => {
  const call = { id: "c1", name: "weather", arguments: '{"city":"Zurich"}' };
  const frame = runFrame({
    id: "r1",
    mode: "chat",
    settings: { model: "m", system: "", parameters: {} },
    turns: [{ ...turn("assistant", ""), calls: [call] }, { ...turn("tool", "dry"), callId: "c1" }],
  });
  assert.deepEqual(frame.messages, [
    {
      role: "assistant",
      content: "",
      tool_calls: [
        { id: "c1", type: "function", function: { name: "weather", arguments: call.arguments } },
      ],
    },
    { role: "tool", content: "dry", tool_call_id: "c1" },
  ]);
});

test("a completion sends its text alone", () => {
  const frame = runFrame({
    id: "r1",
    mode: "completion",
    settings: { model: "m", system: "Be brief", parameters: {} },
    turns: [turn("user", "Once {{when}}")],
    variables: { when: "upon a time" },
  });
  assert.equal(frame.prompt, "Once upon a time");
  assert.equal("messages" in frame, false);
});

test("money is exact", () => {
  assert.equal(dollars(0), "$0.00");
  assert.equal(dollars(25_400), "$0.0000254");
  assert.equal(dollars(1), "$0.000000001");
  assert.equal(dollars(1_234_500_000_000), "$1,234.50");
  assert.equal(dollars(-5), "-$0.000000005");
  assert.equal(dollars(null), "–");
});

test("a balance is rounded down to four decimals", () => {
  assert.equal(balance(9_999_999_999), "$9.9999");
  assert.equal(balance(5_000_000_000), "$5.00");
  assert.equal(balance(4_999_012_345), "$4.999");
  assert.equal(balance(99_999), "$0.000099999");
});

test("counts, times and rates are for the eye", () => {
  assert.equal(count(12345), "12,345");
  assert.equal(count(null), "–");
  assert.equal(duration(84.2), "84 ms");
  assert.equal(duration(1240), "1.24 s");
  // The pages' filter of the same name: tests/portal/test_template_tags.py.
  for (const [told, shown] of [[0, "0.0"], [12.345, "12.3"], [50.25, "50.3"], [99.96, "100.0"],
    [100.5, "101"], [1146.94, "1,147"]]) assert.equal(rate(told), shown);
  assert.equal(rate(null), "–");
  assert.equal(fill("{a} of {b}", { a: "1" }), "1 of {b}");
});
