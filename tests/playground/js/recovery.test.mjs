import assert from "node:assert/strict";
import { test } from "node:test";

import { findAnswer } from "../../../static/js/playground/recovery.js";

/** @param {(number | object | null)[]} answers a status, an answer, or null for "not yet" */
function server(answers) {
  const waited = [];
  const get = async () => {
    const next = answers.shift();
    if (next === undefined) throw new TypeError("offline");
    if (typeof next === "number") return { ok: false, status: next };
    return { ok: true, status: 200, type: "basic", json: async () => ({ answer: next }) };
  };
  return { waited, get, pause: async (ms) => void waited.push(ms) };
}

test("it asks until the answer is kept", async () => {
  const tools = server([null, null, { content: "Hi", summary: { cost_nanos: 1 } }]);
  const found = await findAnswer("/playground/answers/req_1/", tools);
  assert.equal(found?.content, "Hi");
  assert.equal(tools.waited.length, 2);
});

test("it gives up after about a minute, also when offline", async () => {
  const tools = server([]);
  assert.equal(await findAnswer("/playground/answers/req_1/", tools), null);
  const total = tools.waited.reduce((sum, ms) => sum + ms, 0);
  assert.ok(total > 45_000 && total < 90_000, String(total));
});

test("it asks again while the server starts again behind a proxy", async () => {
  const tools = server([502, 503, { content: "Hi", summary: { cost_nanos: 1 } }]);
  const found = await findAnswer("/playground/answers/req_1/", tools);
  assert.equal(found?.content, "Hi");
});

test("it does not go on asking where it may not look", async () => {
  const tools = server([403]);
  assert.equal(await findAnswer("/playground/answers/req_1/", tools), null);
  assert.deepEqual(tools.waited, []);
});

test("nor where it is led to another page", async () => {
  const waited = [];
  const tools = {
    get: async () => ({ ok: false, status: 0, type: "opaqueredirect" }),
    pause: async (ms) => void waited.push(ms),
  };
  assert.equal(await findAnswer("/playground/answers/req_1/", tools), null);
  assert.deepEqual(waited, []);
});
