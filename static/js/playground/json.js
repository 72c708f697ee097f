// Reading JSON that a person types: its value, or where and why it is none.

/**
 * `place` of a mistake: line and column, from 1.
 * @typedef {{value: any} | {wrong: "json", line: number, column: number} | {wrong: "object" | "empty"}} Read
 */

/**
 * @param {string} text
 * @returns {Read} an object, or why it is none
 */
export function readObject(text) {
  if (text.trim() === "") return { wrong: "empty" };
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    return { wrong: "json", ...place(text, validUpTo(text)) };
  }
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return isObject ? { value } : { wrong: "object" };
}

/**
 * @param {string} text
 * @param {number} offset
 */
function place(text, offset) {
  const lines = text.slice(0, offset).split("\n");
  return { line: lines.length, column: (lines.at(-1)?.length ?? 0) + 1 };
}

const TOKEN = /\s*(?:([{}[\],:])|("(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null))/y;

/**
 * Where the text stops being the beginning of JSON: browsers word this differently, or not at all.
 * @param {string} text
 */
function validUpTo(text) {
  /** What may come next: of an object `key`, `first` or `colon`; `value`, `item`, or `end` of one. */
  let state = "value";
  /** @type {string[]} */
  const open = [];
  TOKEN.lastIndex = 0;
  for (;;) {
    const from = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    const at = match ? TOKEN.lastIndex - (match[1] ?? match[2]).length : from + blank(text, from);
    const next = match ? step(state, open, match[1] ?? match[2]) : "";
    if (next === "") return at;
    state = next;
  }
}

/**
 * @param {string} state
 * @param {string[]} open braces and brackets, changed by the token
 * @param {string} token
 * @returns {string} the state after it; empty when it may not stand here
 */
function step(state, open, token) {
  if ("}]".includes(token)) {
    const closes = token === "}" ? ["first", "end"] : ["item", "end"];
    const opened = open.pop();
    return closes.includes(state) && opened === (token === "}" ? "{" : "[") ? "end" : "";
  }
  if (token === ",") return state === "end" ? { "{": "key", "[": "value" }[open.at(-1) ?? ""] ?? "" : "";
  if (token === ":") return state === "colon" ? "value" : "";
  if (state === "first" || state === "key") return token.startsWith('"') ? "colon" : "";
  if (state !== "value" && state !== "item") return "";
  if (token === "{" || token === "[") {
    open.push(token);
    return token === "{" ? "first" : "item";
  }
  return "end";
}

/**
 * @param {string} text
 * @param {number} from
 */
function blank(text, from) {
  return /^\s*/.exec(text.slice(from))?.[0].length ?? 0;
}
