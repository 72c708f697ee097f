// From what is on the page to the frame that is sent: the one place where a request is put together.
import { filled } from "./variables.js";

/**
 * @typedef {object} Parameter as the page's control describes it
 * @property {string} name
 * @property {"number" | "integer" | "lines"} kind
 * @property {string} initial the value that means "leave it alone"
 * @property {string} low
 * @property {string} high
 */

/** @typedef {{value?: number | string[], wrong?: "number" | "integer" | "range" | "lines"}} Said */

/**
 * What a control says: a value to send, nothing to send, or why it cannot be sent.
 * @param {Parameter} parameter
 * @param {string} text
 * @returns {Said}
 */
export function read(parameter, text) {
  if (parameter.kind === "lines") return readLines(text);
  const trimmed = text.trim();
  if (trimmed === "" || trimmed === parameter.initial) return {};
  const value = Number(trimmed);
  if (!Number.isFinite(value)) return { wrong: "number" };
  if (parameter.kind === "integer" && !Number.isSafeInteger(value)) return { wrong: "integer" };
  if (value < Number(parameter.low) || value > Number(parameter.high)) return { wrong: "range" };
  return { value };
}

/**
 * @param {string} text one stop sequence a line; `\n` in it is a line break
 * @returns {Said}
 */
function readLines(text) {
  const lines = text.split("\n").filter((line) => line !== "");
  if (lines.length === 0) return {};
  if (lines.length > 4 || lines.some((line) => line.length > 256)) return { wrong: "lines" };
  return { value: lines.map((line) => line.replaceAll("\\n", "\n").replaceAll("\\t", "\t")) };
}

/**
 * What a control shows for a value that was sent once.
 * @param {Parameter} parameter
 * @param {number | string[] | undefined} value
 */
export function show(parameter, value) {
  if (value === undefined) return parameter.initial;
  if (Array.isArray(value)) {
    return value.map((line) => line.replaceAll("\n", "\\n").replaceAll("\t", "\\t")).join("\n");
  }
  return String(value);
}

/**
 * What a pane asks with, as presets and conversations keep it.
 * @typedef {object} Settings
 * @property {string} model
 * @property {string} system
 * @property {Record<string, any>} parameters those that were changed
 */

/**
 * @param {object} parts
 * @param {string} parts.id
 * @param {"chat" | "completion"} parts.mode
 * @param {Settings} parts.settings
 * @param {import("./state.js").Turn[]} parts.turns of a completion, the first is its prompt
 * @param {Record<string, string>} [parts.variables]
 * @param {string} [parts.conversation] empty: one that is not saved yet
 * @param {string} [parts.latest] the last answer in it that this page knows of
 */
export function runFrame({ id, mode, settings, turns, variables = {}, conversation, latest }) {
  const { model, system, parameters } = settings;
  /** @param {string} text */
  const fill = (text) => filled(text, variables);
  const said = turns.filter((turn) => turn.status !== "waiting");
  const asked =
    mode === "completion"
      ? { prompt: fill(said[0]?.content ?? "") }
      : { messages: messagesOf(said, fill(system), fill) };
  const frame = { type: "run", id, model, ...asked, parameters };
  if (conversation === undefined) return frame;
  // Another tab may have gone on with it: then this run is kept beside what that one got.
  const after = conversation && latest ? { after: latest } : {};
  return { ...frame, conversation: conversation || "new", ...after };
}

/**
 * @param {import("./state.js").Turn[]} turns
 * @param {string} system
 * @param {(text: string) => string} fill
 */
export function messagesOf(turns, system, fill = String) {
  /** @type {Record<string, any>[]} */
  const messages = turns.map(({ role, content, calls, callId, requestId }) => ({
    role,
    content: requestId ? content : fill(content), // braces of a model's are code
    ...(calls.length && { tool_calls: calls.map(nested) }),
    ...(callId && { tool_call_id: callId }),
  }));
  if (system.trim() !== "") messages.unshift({ role: "system", content: system });
  return messages;
}

/** @param {import("./state.js").Call} call */
function nested({ id, name, arguments: text }) {
  return { id, type: "function", function: { name, arguments: text } };
}
