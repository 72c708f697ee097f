import assert from "node:assert/strict";
import { test } from "node:test";

import { emptyChat, reduce, runningTurns } from "../../../static/js/playground/state.js";

/** @param {Record<string, any>[]} actions */
function after(...actions) {
  return actions.reduce(reduce, emptyChat());
}

const ASKED = [
  { type: "say", content: "hi" },
  { type: "begin", runId: "r1" },
  { type: "started", id: "r1", request_id: "req_1", conversation: "conv_1" },
];
const ANSWERED = [
  ...ASKED,
  { type: "delta", id: "r1", text: "Hel" },
  { type: "delta", id: "r1", text: "lo" },
  { type: "finished", id: "r1", summary: { cost_nanos: 7 } },
];

test("an answer grows with its deltas and keeps what was measured", () => {
  const chat = after(...ANSWERED);
  assert.equal(chat.conversation, "conv_1");
  assert.deepEqual(
    chat.turns.map(({ role, content, status }) => [role, content, status]),
    [
      ["user", "hi", "still"],
      ["assistant", "Hello", "finished"],
    ],
  );
  assert.deepEqual(chat.turns[1].summary, { cost_nanos: 7 });
});

test("it waits until the first text comes", () => {
  assert.equal(after(...ASKED).turns[1].status, "waiting");
  assert.equal(runningTurns(after(...ASKED)).length, 1);
});

test("a frame of another or an ended run changes nothing", () => {
  const chat = after(...ANSWERED);
  assert.equal(reduce(chat, { type: "delta", id: "r1", text: "late" }), chat);
  assert.equal(reduce(chat, { type: "finished", id: "r9", summary: {} }), chat);
  assert.equal(reduce(chat, { type: "unheard of" }), chat);
});

test("a refusal is kept with the turn", () => {
  const error = { message: "Not enough credit", code: "insufficient_quota", status: 402 };
  const [, answer] = after(...ASKED, { type: "error", id: "r1", error }).turns;
  assert.equal(answer.status, "error");
  assert.deepEqual(answer.error, error);
});

test("editing or switching the role of an answer drops its measurements", () => {
  const chat = after(...ANSWERED);
  const { key } = chat.turns[1];
  const edited = reduce(chat, { type: "edit", key, content: "Bye" }).turns[1];
  assert.deepEqual([edited.content, edited.summary, edited.requestId], ["Bye", null, ""]);
  const switched = reduce(chat, { type: "switchRole", key }).turns[1];
  assert.deepEqual([switched.role, switched.content, switched.summary], ["user", "Hello", null]);
});

test("running again from an answer replaces it and what follows", () => {
  const chat = after(...ANSWERED, { type: "say", content: "more" });
  const again = reduce(chat, { type: "begin", runId: "r2", key: chat.turns[1].key });
  assert.deepEqual(
    again.turns.map((turn) => turn.content),
    ["hi", ""],
  );
  assert.equal(again.turns[1].runId, "r2");
});

test("running again from a question keeps it", () => {
  const chat = after(...ANSWERED, { type: "say", content: "more" });
  const again = reduce(chat, { type: "begin", runId: "r2", key: chat.turns[0].key });
  assert.deepEqual(
    again.turns.map((turn) => turn.content),
    ["hi", ""],
  );
});

test("keys are never used twice", () => {
  const chat = after(...ANSWERED);
  const removed = reduce(chat, { type: "remove", key: chat.turns[1].key });
  const keys = reduce(removed, { type: "say", content: "x" }).turns.map((turn) => turn.key);
  assert.deepEqual(keys, [1, 3]);
});

test("what is still asked about a chat that was left finds nothing in the next", () => {
  const lost = after(...ASKED, { type: "lost", note: "lost" });
  const { key } = lost.turns[1];
  const next = [{ type: "clear" }, { type: "say", content: "x" }, { type: "begin", runId: "r2" }];
  const chat = next.reduce(reduce, lost);
  assert.equal(reduce(chat, { type: "note", key, note: "nothing was saved" }), chat);
});

test("a run of a chat that was left lends its conversation to no other", () => {
  const [say, begin, started] = ASKED;
  const chat = after(say, begin, { type: "clear" }, started);
  assert.equal(chat.conversation, "");
});

test("a lost answer keeps its text and is found again by its request", () => {
  const lost = after(...ANSWERED.slice(0, 4), { type: "lost", note: "lost" });
  assert.deepEqual([lost.turns[1].status, lost.turns[1].content], ["lost", "Hel"]);
  const found = reduce(lost, {
    type: "found",
    requestId: "req_1",
    content: "Hell",
    summary: { cost_nanos: 5 },
    note: "stopped",
  });
  assert.deepEqual([found.turns[1].status, found.turns[1].content], ["finished", "Hell"]);
});

test("a kept conversation is loaded without its system prompt", () => {
  const conversation = {
    id: "conv_1",
    messages: [
      { role: "system", content: "Be brief", request_id: "", measured: {} },
      { role: "user", content: "hi", request_id: "", measured: {} },
      { role: "assistant", content: "Ho", request_id: "req_1", measured: { cost_nanos: 3 } },
    ],
  };
  const chat = after({ type: "load", conversation });
  assert.equal(chat.conversation, "conv_1");
  assert.deepEqual(
    chat.turns.map(({ role, status, summary }) => [role, status, summary]),
    [
      ["user", "still", null],
      ["assistant", "finished", { cost_nanos: 3 }],
    ],
  );
});
