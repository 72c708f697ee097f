// One conversation as plain data, and every way it changes. Knows neither the page nor the socket,
// so that several of them can stand side by side.

/**
 * What the server measured of an answer; see docs/websocket.md.
 * @typedef {Record<string, any>} Summary
 */

/**
 * `status`: `still` (not made by a run of this page's), `waiting` for its first text, `streaming`,
 * `finished` (also when stopped or lost; `outcome` says which), `error`.
 * @typedef {object} Turn
 * @property {number} key
 * @property {"user" | "assistant"} role
 * @property {string} content
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
 * @property {string} conversation its id on the server; empty: not saved yet
 * @property {number} nextKey
 */

/** @returns {Chat} */
export function emptyChat() {
  return { turns: [], conversation: "", nextKey: 1 };
}

/** @param {Turn} turn */
export function isRunning(turn) {
  return turn.status === "waiting" || turn.status === "streaming";
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
  load: (_chat, { conversation }) => loaded(conversation),
  say: (chat, { content }) => added(chat, { role: "user", content, status: "still" }),
  edit: (chat, { key, content }) => mapped(chat, byKey(key), (turn) => rewritten(turn, { content })),
  switchRole: (chat, { key }) =>
    mapped(chat, byKey(key), (turn) =>
      rewritten(turn, { role: turn.role === "user" ? "assistant" : "user" }),
    ),
  remove: (chat, { key }) => ({ ...chat, turns: chat.turns.filter((turn) => turn.key !== key) }),
  begin: (chat, { runId, key }) => begun(chat, runId, key),
  started: (chat, frame) => {
    // The run of a chat that was left meanwhile must not lend its conversation to the new one.
    if (!chat.turns.some(byRun(frame.id))) return chat;
    return {
      ...mapped(chat, byRun(frame.id), (turn) => ({ ...turn, requestId: frame.request_id })),
      conversation: frame.conversation ?? chat.conversation,
    };
  },
  delta: (chat, frame) =>
    mapped(chat, byRun(frame.id), (turn) => ({
      ...turn,
      content: turn.content + frame.text,
      status: "streaming",
    })),
  finished: (chat, frame) =>
    mapped(chat, byRun(frame.id), (turn) => ({
      ...turn,
      status: "finished",
      summary: frame.summary,
    })),
  error: (chat, frame) =>
    mapped(chat, byRun(frame.id), (turn) => ({
      ...turn,
      status: "error",
      error: frame.error,
      summary: frame.summary ?? null,
    })),
  lost: (chat, { note }) => mapped(chat, isRunning, (turn) => ({ ...turn, status: "lost", note })),
  found: (chat, { requestId, content, summary, note }) =>
    mapped(chat, (turn) => turn.requestId === requestId, (turn) => ({
      ...turn,
      content,
      summary,
      status: "finished",
      note,
    })),
  note: (chat, { key, note }) =>
    mapped(chat, byKey(key), (turn) => ({ ...turn, status: "error", note })),
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
    status: "still",
    runId: "",
    requestId: "",
    summary: null,
    error: null,
    note: "",
  };
}

/** What a person rewrote is no longer what the server measured. */
function rewritten(turn, fields) {
  return { ...blank(turn.key), role: turn.role, content: turn.content, ...fields };
}

function byKey(key) {
  return (turn) => turn.key === key;
}

/** Only while it runs: a frame that comes late changes nothing. */
function byRun(runId) {
  return (turn) => turn.runId === runId && isRunning(turn);
}

function mapped(chat, isIt, change) {
  if (!chat.turns.some(isIt)) return chat;
  return { ...chat, turns: chat.turns.map((turn) => (isIt(turn) ? change(turn) : turn)) };
}

/** @param {Record<string, any>} conversation as the server keeps it */
function loaded(conversation) {
  let chat = { ...emptyChat(), conversation: conversation.id };
  for (const { role, content, request_id: requestId, measured } of conversation.messages) {
    if (role === "system") continue;
    const { error, ...summary } = measured;
    const made = requestId !== "";
    chat = added(chat, {
      role,
      content,
      requestId,
      summary: made ? summary : null,
      status: made ? "finished" : "still",
      note: error ?? "",
    });
  }
  return chat;
}
