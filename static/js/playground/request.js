// From what is on the page to the frame that is sent: the one place where a request is put together.

/**
 * @typedef {object} Parameter as the page's control describes it
 * @property {string} name
 * @property {"number" | "integer" | "lines"} kind
 * @property {string} initial the value that means "leave it alone"
 * @property {string} low
 * @property {string} high
 */

/**
 * What a control says: a value to send, nothing to send, or why it cannot be sent.
 * @param {Parameter} parameter
 * @param {string} text
 * @returns {{value?: number | string[], wrong?: "number" | "integer" | "range" | "lines"}}
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

/** @param {string} text one stop sequence a line; `\n` in it is a line break */
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
 * @param {object} parts
 * @param {string} parts.id
 * @param {string} parts.model
 * @param {string} parts.system
 * @param {import("./state.js").Turn[]} parts.turns
 * @param {Record<string, number | string[]>} parts.parameters
 * @param {string} [parts.conversation]
 */
export function runFrame({ id, model, system, turns, parameters, conversation }) {
  const messages = turns
    .filter((turn) => turn.status !== "waiting")
    .map(({ role, content }) => ({ role, content }));
  if (system.trim() !== "") messages.unshift({ role: "system", content: system });
  const frame = { type: "run", id, model, messages, parameters };
  return conversation === undefined ? frame : { ...frame, conversation: conversation || "new" };
}
