// What a tab keeps over a reload: its panes with what they say, and what is half written.
import { element } from "./element.js";

const PLACE = "playground-panes";

/**
 * What of the page is kept.
 * @typedef {object} Page
 * @property {Record<string, any>} data
 * @property {"chat" | "completion"} mode
 * @property {import("./panes.js").Panes} panes
 * @property {HTMLTextAreaElement} composer
 * @property {import("./variables-view.js").VariablesView} table
 */

/** @param {Page} page */
export function keepOverReload(page) {
  window.addEventListener("pagehide", () => {
    if (!write(keptOf(page))) write(keptOf(page, { logprobs: [] }));
  });
}

/**
 * Puts the page back as it was, when it is loaded again: by whom, and where, it was written.
 * @param {Page} page
 * @returns {boolean} whether it did
 */
export function restored(page) {
  const kept = isLoadedAgain() ? read() : null;
  if (!kept || JSON.stringify(kept.of) !== JSON.stringify(whose(page))) return false;
  element("mode").querySelector(`input[value=${kept.mode}]`).checked = true;
  element("synchronised").checked = kept.synchronised;
  page.composer.value = kept.draft;
  page.table.set(kept.variables);
  const { panes } = page;
  for (const [at, pane] of kept.panes.entries()) {
    (panes.list[at] ?? panes.add(pane.settings)).restore(pane);
  }
  panes.activate(panes.list[kept.active] ?? panes.active);
  return true;
}

/**
 * @param {Page} page
 * @param {Partial<import("./state.js").Turn>} [without] what turns have instead of their own
 */
function keptOf(page, without = {}) {
  const { mode, panes, composer, table } = page;
  return {
    of: whose(page),
    mode,
    synchronised: element("synchronised").checked,
    draft: composer.value,
    variables: table.values,
    active: panes.list.indexOf(panes.active),
    panes: panes.list.map(({ settings, text, stores: { chat, completion } }) => ({
      settings,
      text: text.value,
      chats: { chat: keptChat(chat, without), completion: keptChat(completion, without) },
    })),
  };
}

/**
 * @param {import("./store.js").ChatStore} store
 * @param {Partial<import("./state.js").Turn>} without
 */
function keptChat({ chat }, without) {
  return { ...chat, turns: chat.turns.map((turn) => ({ ...turn, ...without })) };
}

/** @param {Page} page */
function whose({ data }) {
  return [data.member, data.organisation, location.pathname + location.search];
}

/** A link to the page, or its address typed again, begins anew. */
function isLoadedAgain() {
  const [entry] = performance.getEntriesByType("navigation");
  const { type } = /** @type {PerformanceNavigationTiming} */ (entry);
  return type === "reload" || type === "back_forward";
}

/** @param {Record<string, any>} kept */
function write(kept) {
  try {
    sessionStorage.setItem(PLACE, JSON.stringify(kept));
    return true;
  } catch {
    sessionStorage.removeItem(PLACE); // too long, or not allowed
    return false;
  }
}

/** @returns {Record<string, any> | null} */
function read() {
  try {
    return JSON.parse(sessionStorage.getItem(PLACE) ?? "null");
  } catch {
    return null;
  }
}
