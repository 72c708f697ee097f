// What would be sent if it ran now: the turns of a pane, and what is written but not yet said.
import { messagesOf } from "./request.js";

const EXAMPLE = "Hello!";

/** @param {string} content */
const said = (content) => ({ role: "user", content, calls: [], callId: "" });

/**
 * The turns of the request at hand, or of an example of it.
 * @param {import("./pane.js").Pane} pane
 * @param {"chat" | "completion"} mode
 * @param {string} draft what is written below
 * @returns {any[]}
 */
export function turnsToSend(pane, mode, draft) {
  const turns = turnsToKeep(pane, mode, draft);
  const isEmpty = mode === "completion" ? pane.text.value === "" : turns.length === 0;
  const shown = isEmpty ? [said(EXAMPLE)] : turns;
  return shown.at(-1)?.role === "assistant" ? shown.slice(0, -1) : shown;
}

/**
 * What a preset keeps: the same without an example, and with a last answer.
 * @param {import("./pane.js").Pane} pane
 * @param {"chat" | "completion"} mode
 * @param {string} draft
 * @param {import("./request.js").Settings} settings
 * @param {Record<string, string>} variables
 */
export function presetOf(pane, mode, draft, { model, system, parameters }, variables) {
  const messages = messagesOf(turnsToKeep(pane, mode, draft), system);
  return { mode, model, messages, parameters, variables };
}

/**
 * @param {import("./pane.js").Pane} pane
 * @param {"chat" | "completion"} mode
 * @param {string} draft
 * @returns {any[]}
 */
function turnsToKeep(pane, mode, draft) {
  if (mode === "completion") return [said(pane.text.value)];
  const { turns } = pane.store.chat;
  return draft.trim() === "" ? turns : [...turns, said(draft)];
}
