// What is put in the place of what the page says: a kept conversation, a preset, an example. What
// somebody wrote and nothing else keeps goes for that only when they were asked.
import { confirmed } from "../confirmed.js";
import { element } from "./element.js";
import { isWritten } from "./state.js";

/** @typedef {import("./pane.js").Pane} Pane */
/** @typedef {"chat" | "completion"} Mode */

/** Texts that can be had again: saved as a preset, or brought by one. @type {Set<string>} */
const known = new Set();

/**
 * @param {any} page the playground
 * @param {Record<string, any>} conversation as the server keeps it, or what a preset keeps
 */
export function open(page, conversation) {
  element("mode").querySelector(`input[value=${conversation.mode}]`).checked = true;
  page.settings.modeIs(conversation.mode);
  page.panes.active.load(conversation);
  page.showSettings();
  if (conversation.variables) page.table.set(conversation.variables);
  page.modeIs();
}

/**
 * @param {any} page
 * @param {Record<string, any>} content
 * @returns {Promise<boolean>} whether it was opened
 */
export async function openPreset(page, content) {
  const pane = page.panes.active;
  const texts = () => [...written(pane, content.mode), ...valuesOf(page)];
  if (!(await mayReplace(page, texts()))) return false;
  open(page, content);
  learn(texts());
  return true;
}

/**
 * Fills in a ready preset; nothing runs yet.
 * @param {any} page
 * @param {Record<string, any>} example
 */
export async function fill(page, { text, system, parameters, variables }) {
  const { composer, panes, settings, table } = page;
  const texts = panes.list.flatMap((/** @type {Pane} */ pane) => written(pane, "chat"));
  if (!(await mayReplace(page, [composer.value, ...valuesOf(page), ...texts]))) return;
  element("mode").querySelector("input[value=chat]").checked = true;
  page.startAfresh();
  const { model } = panes.active.settings;
  settings.show({ model, system, parameters });
  table.set(variables);
  composer.value = text;
  learn([text, system, ...valuesOf(page)]);
  page.settingsChanged();
  page.focus();
}

/**
 * The settings and what is half written below stay.
 * @param {any} page
 */
export async function beginAnew(page) {
  const { mode, panes, texts } = page;
  const said = panes.list.flatMap((/** @type {Pane} */ pane) => messages(pane, mode));
  if (said.every(canBeHad) || (await confirmed(texts.drop_written, texts.drop))) page.startAfresh();
}

/**
 * What other panes say, too, is not lost with this one.
 * @param {any} page
 * @param {Pane} pane
 * @returns {Promise<boolean>}
 */
export async function mayClose({ panes, texts }, pane) {
  const others = panes.list.filter((/** @type {Pane} */ each) => each !== pane);
  const elsewhere = new Set(
    others.flatMap((/** @type {Pane} */ each) => [...allWritten(each), ...each.texts]),
  );
  const alone = allWritten(pane).filter((text) => !elsewhere.has(text));
  return alone.every(canBeHad) || confirmed(texts.close_written, texts.close);
}

/**
 * What the page says was saved as a preset.
 * @param {any} page
 */
export function learnSaved(page) {
  const { composer, mode, panes } = page;
  learn([composer.value, ...valuesOf(page), ...written(panes.active, mode)]);
}

/** @param {string[]} texts */
function learn(texts) {
  for (const text of texts) known.add(text.trim());
}

/**
 * @param {any} page
 * @param {string[]} texts that would be gone
 * @returns {Promise<boolean>}
 */
async function mayReplace({ texts: { replace_written: question, replace: yes } }, texts) {
  return texts.every(canBeHad) || confirmed(question, yes);
}

/**
 * Whether nothing that the panes say would be lost with them.
 * @param {any} page
 */
export function areKept({ panes }) {
  return panes.list.flatMap(allWritten).every(canBeHad);
}

/**
 * In both modes.
 * @param {Pane} pane
 * @returns {string[]}
 */
function allWritten(pane) {
  return [...written(pane, "chat"), ...written(pane, "completion")];
}

/** @param {string} text */
function canBeHad(text) {
  return text.trim() === "" || known.has(text.trim());
}

/**
 * Of the variables.
 * @param {any} page
 * @returns {string[]}
 */
function valuesOf({ table }) {
  return Object.values(table.values);
}

/**
 * What a pane asks in a mode and no conversation on the server does.
 * @param {Pane} pane
 * @param {Mode} mode
 * @returns {string[]}
 */
function written(pane, mode) {
  const above = keptUpTo(pane, mode) === 0 ? [pane.settings.system] : [];
  return [...above, ...messages(pane, mode)];
}

/**
 * The same without its system prompt.
 * @param {Pane} pane
 * @param {Mode} mode
 * @returns {string[]}
 */
function messages(pane, mode) {
  const kept = keptUpTo(pane, mode);
  const { turns } = pane.stores[mode].chat;
  if (mode === "chat") {
    const said = turns.slice(kept).filter(isWritten);
    return [...said.map(({ content }) => content), ...pane.view.edits.map(([, text]) => text)];
  }
  const text = turns.map(({ content }) => content).join("");
  return kept > 0 && pane.text.value === text ? [] : [pane.text.value];
}

/**
 * How many turns its conversation on the server has.
 * @param {Pane} pane
 * @param {Mode} mode
 */
function keptUpTo({ stores }, mode) {
  const { turns, latest } = stores[mode].chat;
  return latest ? turns.findLastIndex(({ requestId }) => requestId === latest) + 1 : 0;
}
