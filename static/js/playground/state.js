// One conversation as plain data, and every way it changes. Knows neither the page nor the socket,
// so that several of them can stand side by side.

/**
 * What the server measured of an answer; see docs/websocket.md.
 * @typedef {Record<string, any>} Summary
 */

/**
 * A call of a tool; `arguments` is JSON text.
 * @typedef {{id: string, name: string, arguments: string}} Call
 */

/**
 * A token of an answer; `top` holds what else was likely, as `[token, logprob]`.
 * @typedef {{token: string, logprob: number, top: [string, number][]}} Token
 */

/**
 * `status`: `still` (not made by a run of this page's), `waiting` for its first text, `streaming`,
 * `finished` (also when stopped; `outcome` says which), `error`, `lost` with the socket.
 * @typedef {object} Turn
 * @property {number} key
 * @property {"user" | "assistant" | "tool"} role
 * @property {string} content
 * @property {Call[]} calls of tools, by an answer
 * @property {string} callId the call that a message of a tool answers
 * @property {Token[]} logprobs of an answer, where they were asked for
 * @property {"still" | "waiting" | "streaming" | "finished" | "error" | "lost"} status
 * @property {string} runId
 * @property {string} requestId
 * @property {Summary | null} summary
 * @property {{message: string, code: string | null, status: number} | null} error
 * @property {string} note a sentence about what happened to it, or nothing
 */

/**
 * @typedef {object} Chat
 * @property {Turn[]} turns
 * @property {string} conversation which has its last answer on the server; empty: not saved yet
 * @property {string} latest the request of the last answer saved in it that this page knows of
 * @property {number} nextKey
 */

/** @returns {Chat} */
export function emptyChat() {
  return { turns: [], conversation: "", latest: "", nextKey: 1 };
}

/** @param {Turn} turn */
export function isRunning(turn) {
  return turn.status === "waiting" || turn.status === "streaming";
}

/**
 * Whether a person wrote it, an answer that was rewritten included: what a model made has a request.
 * @param {Turn} turn
 */
export function isWritten({ requestId, content }) {
  return requestId === "" && content !== "";
}

/** @param {Chat} chat */
export function runningTurns(chat) {
  return chat.turns.filter(isRunning);
}

/**
 * The chat after an action; the same object when nothing changed.
 * @param {Chat} chat
 * @param {Record<string, any>} action
 * @returns {Chat}
 */
export function reduce(chat, action) {
  const change = CHANGES[action.type];
  return change ? change(chat, action) : chat;
}

/** @type {Record<string, (chat: Chat, action: any) => Chat>} */
const CHANGES = {
  // Keys go on: what is still being asked about an answer that was taken away must find nothing.
  clear: ({ nextKey }) => ({ ...emptyChat(), nextKey }),
  restore: (_chat, { chat }) => chat,
  load: ({ nextKey }, { conversation }) => loaded(conversation, nextKey),
  say: (chat, { content, role = "user" }) => added(chat, { role, content }),
  /** The text that a completion goes on with; what followed another is gone. */
  prompt: (chat, { content }) => added({ ...chat, turns: [] }, { role: "user", content }),
  answerCall: (chat, { key, callId, content }) => answeredCall(chat, key, callId, content),
  move: (chat, { key, by }) => moved(chat, key, by),
  edit: (chat, { key, content }) =>
    mapped(chat, byKey(key), (turn) =>
      turn.content === content ? turn : rewritten(turn, { content }),
    ),
  switchRole: (chat, { key }) =>
    mapped(chat, byKey(key), (turn) =>
      turn.role === "tool"
        ? turn
        : rewritten(turn, { role: turn.role === "user" ? "assistant" : "user", calls: [] }),
    ),
  remove: (chat, { key }) => removed(chat, key),
  begin: (chat, { runId, key }) => begun(chat, runId, key),
  // The conversation that it names is there when the answer is kept in it, and not before.
  started: (chat, frame) =>
    mapped(chat, byRun(frame.id), (turn) => ({ ...turn, requestId: frame.request_id })),
  delta: (chat, frame) =>
    mapped(chat, byRun(frame.id), (turn) => ({
      ...turn,
      content: turn.content + frame.text,
      calls: frame.tool_calls ? called(turn.calls, frame.tool_calls) : turn.calls,
      logprobs: frame.logprobs ? [...turn.logprobs, ...frame.logprobs] : turn.logprobs,
      status: "streaming",
    })),
  finished: (chat, frame) =>
    mapped(saved(chat, frame), byRun(frame.id), (turn) => ({
      ...turn,
      status: "finished",
      summary: frame.summary,
    })),
  error: (chat, frame) =>
    mapped(saved(chat, frame), byRun(frame.id), (turn) => ({
      ...turn,
      status: "error",
      error: frame.error,
      summary: frame.summary ?? null,
    })),
  lost: (chat, { note }) => mapped(chat, isRunning, (turn) => ({ ...turn, status: "lost", note })),
  found: (chat, { requestId, conversation, content, calls, summary, note }) => {
    const isLast = chat.turns.at(-1)?.requestId === requestId;
    return mapped(
      isLast ? { ...chat, conversation, latest: requestId } : chat,
      (turn) => turn.requestId === requestId,
      (turn) => ({ ...turn, content, calls, summary, status: "finished", note }),
    );
  },
  note: (chat, { key, note }) =>
    mapped(chat, byKey(key), (turn) => ({ ...turn, status: "error", note })),
  remark: (chat, { key, note }) => mapped(chat, byKey(key), (turn) => ({ ...turn, note })),
};

/**
 * Take away what follows the turn with `key` (and the turn itself when it is an answer), then wait
 * for an answer at the end.
 * @param {Chat} chat
 * @param {string} runId
 * @param {number} [key]
 */
function begun(chat, runId, key) {
  let { turns } = chat;
  const at = turns.findIndex((turn) => turn.key === key);
  if (at >= 0) turns = turns.slice(0, turns[at].role === "assistant" ? at : at + 1);
  return added({ ...chat, turns }, { role: "assistant", content: "", status: "waiting", runId });
}

/**
 * The tool's answer stands behind the call, and behind the answers to the calls before it.
 * @param {Chat} chat
 * @param {number} key of the turn that called
 * @param {string} callId
 * @param {string} content
 */
function answeredCall(chat, key, callId, content) {
  let at = chat.turns.findIndex((turn) => turn.key === key) + 1;
  if (at === 0) return chat;
  while (chat.turns[at]?.role === "tool") at += 1;
  const turn = { ...blank(chat.nextKey), role: /** @type {const} */ ("tool"), content, callId };
  return { ...chat, turns: chat.turns.toSpliced(at, 0, turn), nextKey: chat.nextKey + 1 };
}

/**
 * Calls of a turn that no message answers yet.
 * @param {Chat} chat
 * @param {Turn} turn
 */
export function openCalls(chat, turn) {
  const answered = new Set(chat.turns.map(({ callId }) => callId));
  return turn.calls.filter(({ id }) => !answered.has(id));
}

/**
 * @param {Chat} chat
 * @param {number} key
 * @param {number} by places; a turn stays within the chat
 */
function moved(chat, key, by) {
  const at = chat.turns.findIndex((turn) => turn.key === key);
  const to = at + by;
  if (at < 0 || to < 0 || to >= chat.turns.length) return chat;
  const turns = chat.turns.toSpliced(at, 1).toSpliced(to, 0, chat.turns[at]);
  return { ...chat, turns };
}

/**
 * With calls of tools go their answers, which mean nothing without them.
 * @param {Chat} chat
 * @param {number} key
 */
function removed(chat, key) {
  const gone = chat.turns.find((turn) => turn.key === key);
  if (!gone) return chat;
  const calls = new Set(gone.calls.map(({ id }) => id));
  return {
    ...chat,
    turns: chat.turns.filter((turn) => turn !== gone && !(turn.callId && calls.has(turn.callId))),
  };
}

/**
 * The calls with what a delta adds to them.
 * @param {Call[]} calls
 * @param {{index: number, id?: string, function: {name?: string, arguments: string}}[]} parts
 */
function called(calls, parts) {
  const grown = [...calls];
  for (const { index, id, function: part } of parts) {
    const before = grown[index] ?? { id: id ?? "", name: part.name ?? "", arguments: "" };
    grown[index] = { ...before, arguments: before.arguments + part.arguments };
  }
  return grown;
}

/**
 * @param {Chat} chat
 * @param {Partial<Turn>} fields
 * @returns {Chat}
 */
function added(chat, fields) {
  const turn = { ...blank(chat.nextKey), ...fields };
  return { ...chat, turns: [...chat.turns, turn], nextKey: chat.nextKey + 1 };
}

/**
 * @param {number} key
 * @returns {Turn}
 */
function blank(key) {
  return {
    key,
    role: "user",
    content: "",
    calls: [],
    callId: "",
    logprobs: [],
    status: "still",
    runId: "",
    requestId: "",
    summary: null,
    error: null,
    note: "",
  };
}

/**
 * What a person rewrote is no longer what the server measured.
 * @param {Turn} turn
 * @param {Partial<Turn>} fields
 * @returns {Turn}
 */
function rewritten(turn, fields) {
  const { key, role, content, calls, callId } = turn;
  return { ...blank(key), role, content, calls, callId, ...fields };
}

/**
 * @param {number} key
 * @returns {(turn: Turn) => boolean}
 */
function byKey(key) {
  return (turn) => turn.key === key;
}

/**
 * Only while it runs: a frame that comes late changes nothing.
 * @param {string} runId
 * @returns {(turn: Turn) => boolean}
 */
function byRun(runId) {
  return (turn) => turn.runId === runId && isRunning(turn);
}

/**
 * @param {Chat} chat
 * @param {(turn: Turn) => boolean} isIt
 * @param {(turn: Turn) => Turn} change
 * @returns {Chat}
 */
function mapped(chat, isIt, change) {
  if (!chat.turns.some(isIt)) return chat;
  return { ...chat, turns: chat.turns.map((turn) => (isIt(turn) ? change(turn) : turn)) };
}

/**
 * Where the server has kept the answer when a run has ended; where the conversation was deleted in
 * another tab, the next run begins a new one. A run of a chat that was left meanwhile must not lend
 * its conversation to the new one.
 * @param {Chat} chat
 * @param {Record<string, any>} frame
 * @returns {Chat}
 */
function saved(chat, { id, summary, error, conversation = "" }) {
  if (!chat.turns.some(byRun(id))) return chat;
  if (error?.code === "conversation_not_found") return { ...chat, conversation: "", latest: "" };
  if (!summary) return chat;
  return { ...chat, conversation, latest: conversation && summary.request_id };
}

/**
 * @param {Record<string, any>} conversation as the server keeps it
 * @param {number} nextKey
 */
function loaded(conversation, nextKey) {
  let chat = { ...emptyChat(), nextKey, conversation: conversation.id ?? "" };
  for (const message of conversation.messages) {
    if (message.role === "system") continue;
    const { error, ...summary } = message.measured ?? {};
    const made = Boolean(message.request_id);
    chat = added(chat, {
      role: message.role,
      content: message.content,
      calls: (message.tool_calls ?? []).map(flat),
      callId: message.tool_call_id ?? "",
      requestId: message.request_id ?? "",
      summary: made ? summary : null,
      status: made ? "finished" : "still",
      note: error ?? "",
    });
    if (made) chat.latest = message.request_id;
  }
  return chat;
}

/**
 * A call as the API writes it, flat.
 * @param {{id: string, function: {name: string, arguments: string}}} call
 * @returns {Call}
 */
export function flat({ id, function: { name, arguments: text } }) {
  return { id, name, arguments: text };
}
