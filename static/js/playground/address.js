// The page's address names the one conversation that it shows: a reload, and whoever keeps it, find
// that again.

/** The query that it had before the last change, or has if there was none. @type {string | null} */
let before = null;

/** @param {import("./panes.js").Panes} panes */
export function nameInAddress({ list, active }) {
  const { conversation } = active;
  const named = new URLSearchParams(location.search).get("conversation") ?? "";
  if (list.length > 1 || conversation === named) return; // what else it says may stay
  replace(conversation && `?conversation=${encodeURIComponent(conversation)}`);
}

/** It names nothing any more. */
export function nameNothing() {
  replace("");
}

/** @returns {string} */
export function queryBefore() {
  return before ?? location.search;
}

/** @param {string} query */
function replace(query) {
  before = location.search;
  history.replaceState(null, "", location.pathname + query);
}
