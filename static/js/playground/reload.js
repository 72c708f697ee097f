// What a tab keeps of each address while it is elsewhere: its panes with what they say, and what is
// half written.
import { queryBefore } from "./address.js";
import { element } from "./element.js";
import { areKept } from "./opening.js";

const PLACE = "playground-panes ";

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
  /** @type {Set<string>} */
  const places = new Set();
  const keep = (at = place(), more = {}) => {
    places.add(at);
    const kept = (without = {}) => ({ ...keptOf(page, without), ...more });
    return write(at, kept()) || write(at, kept({ logprobs: [] }));
  };
  const clear = () => {
    for (const each of places) remove(each);
    places.clear();
  };
  remove(place()); // where it was kept, too, when the page that was loaded again got an address
  // What is loaded again is this address, whichever one an answer gets before the page is gone; or the
  // one before it, when an answer ends between somebody's asking for that and this event.
  window.addEventListener("beforeunload", () => {
    clear();
    if (place(queryBefore()) !== place()) keep(place(queryBefore()), { forReload: true });
    keep();
  });
  window.addEventListener("pagehide", () => keep());
  // Of a tab in the background a phone takes the memory, and says nothing.
  document.addEventListener("visibilitychange", () => (document.hidden ? keep() : clear()));
}

/**
 * Puts the page back as it was for whom it was: when it is loaded again, and for who comes back to
 * messages that are kept nowhere else, from signing in again or from adding credit, say. Else what is
 * half written comes back alone.
 * @param {Page} page
 * @returns {boolean} whether it did
 */
export function restored(page) {
  const kept = taken();
  if (!kept || JSON.stringify(kept.of) !== JSON.stringify(whose(page))) return false;
  if (kept.forReload && !isLoadedAgain()) return false;
  if (!isLoadedAgain() && (kept.areKept || page.data.conversation)) {
    page.composer.value = kept.draft;
    return false;
  }
  element("mode").querySelector(`input[value=${kept.mode}]`).checked = true;
  element("synchronised").checked = kept.synchronised;
  page.composer.value = kept.draft;
  page.table.set(kept.variables);
  const { panes } = page;
  const { model } = panes.active.settings; // of the address
  for (const [at, pane] of kept.panes.entries()) {
    (panes.list[at] ?? panes.add(pane.settings)).restore(pane);
  }
  panes.activate(panes.list[kept.active] ?? panes.active);
  if (!isLoadedAgain() && location.search !== "") {
    panes.active.settings = { ...panes.active.settings, model };
  }
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
    areKept: areKept(page),
    mode,
    synchronised: element("synchronised").checked,
    draft: composer.value,
    variables: table.values,
    active: panes.list.indexOf(panes.active),
    panes: panes.list.map(({ settings, text, view, stores: { chat, completion } }) => ({
      settings,
      text: text.value,
      edits: view.edits,
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
  return [data.member, data.organisation];
}

/** By what the address asks for, whichever model it names beside. */
function place(query = location.search) {
  const asked = new URLSearchParams(query);
  asked.delete("model");
  return PLACE + asked;
}

/** Else it was come to by a link, or its address was typed. */
function isLoadedAgain() {
  const [entry] = performance.getEntriesByType("navigation");
  const { type } = /** @type {PerformanceNavigationTiming} */ (entry);
  return type === "reload" || type === "back_forward";
}

/**
 * @param {string} at
 * @param {Record<string, any>} kept
 */
function write(at, kept) {
  try {
    sessionStorage.setItem(at, JSON.stringify(kept));
    return true;
  } catch {
    forget(); // too long, or not allowed
    return false;
  }
}

/** @param {string} at */
function remove(at) {
  try {
    sessionStorage.removeItem(at);
  } catch {
    // Not allowed: then nothing is kept.
  }
}

/** All of them: what is kept now is wanted most. */
function forget() {
  for (const name of Object.keys(sessionStorage)) {
    if (name.startsWith(PLACE)) sessionStorage.removeItem(name);
  }
}

/**
 * Once: what is said from here on may get another address.
 * @returns {Record<string, any> | null}
 */
function taken() {
  try {
    const kept = sessionStorage.getItem(place());
    sessionStorage.removeItem(place());
    return JSON.parse(kept ?? "null");
  } catch {
    return null;
  }
}
