import assert from "node:assert/strict";
import { test } from "node:test";

import {
  emptyChat,
  isWritten,
  openCalls,
  reduce,
  runningTurns,
} from "../../../static/js/playground/state.js";

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
  { type: "finished", id: "r1", summary: { cost_nanos: 7 }, conversation: "conv_1" },
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

test("a chat that was written down is there again, and what ran in it is lost", () => {
  const more = [{ type: "say", content: "more" }, { type: "begin", runId: "r2" }];
  const kept = JSON.parse(JSON.stringify(after(...ANSWERED, ...more)));
  const chat = after({ type: "restore", chat: kept }, { type: "lost", note: "gone" });
  assert.equal(chat.conversation, "conv_1");
  assert.deepEqual(chat.turns.map(({ status }) => status), ["still", "finished", "still", "lost"]);
  assert.equal(after({ type: "restore", chat }, { type: "say", content: "b" }).turns[4].key, 5);
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
  const same = reduce(chat, { type: "edit", key, content: chat.turns[1].content });
  assert.equal(same.turns[1], chat.turns[1], "nobody changed it");
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

test("a page knows the last answer that was saved", () => {
  const summary = { request_id: "req_1" };
  assert.equal(after(...ASKED).latest, "");
  const ended = { type: "finished", id: "r1", summary, conversation: "conv_1" };
  const kept = after(...ASKED, ended);
  assert.equal(kept.latest, "req_1");
  const error = { message: "no", code: "overloaded", status: 503 };
  const more = [{ type: "begin", runId: "r2" }, { type: "error", id: "r2", error }];
  assert.equal(more.reduce(reduce, kept).latest, "req_1");
  const [say, begin, started] = ASKED;
  const left = after(say, begin, started, { type: "clear" }, ended);
  assert.equal(left.latest, "");
});

test("a conversation is the one that has the answer, not the one it was meant for", () => {
  assert.equal(after(...ASKED).conversation, "", "a server that dies now has kept nothing");
  const refused = { type: "error", id: "r1", error: { message: "no", code: "overloaded", status: 503 } };
  assert.equal(after(...ASKED, refused).conversation, "");
  const broken = { ...refused, summary: { request_id: "req_1" }, conversation: "conv_1" };
  assert.equal(after(...ASKED, broken).conversation, "conv_1");
  const more = [{ type: "begin", runId: "r2" }, { type: "finished", id: "r2", summary: { request_id: "req_2" } }];
  const branched = more.with(1, { ...more[1], conversation: "conv_2" });
  const chat = branched.reduce(reduce, after(...ANSWERED));
  assert.deepEqual([chat.conversation, chat.latest], ["conv_2", "req_2"]);
  const deleted = more.reduce(reduce, after(...ANSWERED));
  assert.deepEqual([deleted.conversation, deleted.latest], ["", ""]);
});

test("a lost answer that is found is the last that was saved, unless more was asked since", () => {
  const answer = { content: "Hello", calls: [], summary: {}, note: "", conversation: "conv_1" };
  const found = { type: "found", requestId: "req_1", ...answer };
  const lost = after(...ASKED, { type: "lost", note: "gone" });
  const chat = reduce(lost, found);
  assert.deepEqual([chat.conversation, chat.latest], ["conv_1", "req_1"]);
  const more = [{ type: "say", content: "and?" }, found].reduce(reduce, lost);
  assert.deepEqual([more.conversation, more.latest], ["", ""]);
});

test("a conversation that was deleted elsewhere is begun anew by the next run", () => {
  const error = { message: "gone", code: "conversation_not_found", status: 404 };
  const more = [{ type: "begin", runId: "r2" }, { type: "error", id: "r2", error }];
  const chat = more.reduce(reduce, after(...ANSWERED));
  assert.equal(chat.conversation, "");
  assert.equal(chat.turns[0].content, "hi");
});

test("a lost answer keeps its text and is found again by its request", () => {
  const lost = after(...ANSWERED.slice(0, 4), { type: "lost", note: "lost" });
  assert.deepEqual([lost.turns[1].status, lost.turns[1].content], ["lost", "Hel"]);
  const found = reduce(lost, {
    type: "found",
    requestId: "req_1",
    content: "Hell",
    calls: [],
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

const CALLED = [
  ...ASKED,
  {
    type: "delta",
    id: "r1",
    text: "",
    tool_calls: [{ index: 0, id: "c1", function: { name: "weather", arguments: "" } }],
  },
  { type: "delta", id: "r1", text: "", tool_calls: [{ index: 0, function: { arguments: '{"ci' } }] },
  {
    type: "delta",
    id: "r1",
    text: "",
    tool_calls: [
      { index: 0, function: { arguments: 'ty":"Zug"}' } },
      { index: 1, id: "c2", function: { name: "time", arguments: "" } },
      { index: 1, function: { arguments: "{}" } },
    ],
  },
  { type: "finished", id: "r1", summary: { finish_reason: "tool_calls" } },
];

test("calls of tools grow with their parts", () => {
  assert.deepEqual(after(...CALLED).turns[1].calls, [
    { id: "c1", name: "weather", arguments: '{"city":"Zug"}' },
    { id: "c2", name: "time", arguments: "{}" },
  ]);
});

test("what a tool answers stands behind the call, in the order of the calls", () => {
  const chat = after(...CALLED);
  const { key } = chat.turns[1];
  const one = reduce(chat, { type: "answerCall", key, callId: "c1", content: "dry" });
  assert.deepEqual(openCalls(one, one.turns[1]).map(({ id }) => id), ["c2"]);
  const both = reduce(one, { type: "answerCall", key, callId: "c2", content: "noon" });
  assert.deepEqual(both.turns.map(({ role, content }) => [role, content]).slice(2), [
    ["tool", "dry"],
    ["tool", "noon"],
  ]);
  assert.deepEqual(openCalls(both, both.turns[1]), []);
});

test("with a call goes what answers it", () => {
  const chat = after(...CALLED);
  const { key } = chat.turns[1];
  const answered = reduce(chat, { type: "answerCall", key, callId: "c1", content: "dry" });
  const roles = reduce(answered, { type: "remove", key }).turns.map(({ role }) => role);
  assert.deepEqual(roles, ["user"]);
});

test("a turn moves within the chat and not out of it", () => {
  const chat = after({ type: "say", content: "a" }, { type: "say", content: "b" });
  const { key } = chat.turns[1];
  const up = reduce(chat, { type: "move", key, by: -1 });
  assert.deepEqual(up.turns.map(({ content }) => content), ["b", "a"]);
  assert.equal(reduce(up, { type: "move", key, by: -1 }), up);
});

test("probabilities grow with the text", () => {
  const token = { token: "H", logprob: -0.1, top: [] };
  const chat = after(
    ...ASKED,
    { type: "delta", id: "r1", text: "H", logprobs: [token] },
    { type: "delta", id: "r1", text: "i", logprobs: [token, token] },
  );
  assert.equal(chat.turns[1].logprobs.length, 3);
});

test("a completion is its text and what goes on with it", () => {
  const chat = after(...ANSWERED, { type: "prompt", content: "Once" }, { type: "begin", runId: "r2" });
  assert.deepEqual(chat.turns.map(({ content }) => content), ["Once", ""]);
  assert.equal(chat.conversation, "conv_1");
});

test("what a person wrote is told from what a model made", () => {
  const called = { index: 0, id: "c1", function: { name: "look", arguments: "{}" } };
  const chat = after(
    ...ASKED,
    { type: "delta", id: "r1", text: "", tool_calls: [called] },
    { type: "finished", id: "r1", summary: {}, conversation: "conv_1" },
    { type: "answerCall", key: 2, callId: "c1", content: "42" },
    { type: "begin", runId: "r2" }, // and never began
  );
  const written = [true, false, true, false];
  assert.deepEqual(chat.turns.map(isWritten), written);
  const [, , , lost] = chat.turns;
  assert.equal(isWritten(reduce(chat, { type: "edit", key: lost.key, content: "mine" }).turns[3]), true);
});
