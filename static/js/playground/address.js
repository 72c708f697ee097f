// The page's address names the one conversation that it shows: a reload, and whoever keeps it, find
// that again.

/** @param {import("./panes.js").Panes} panes */
export function nameInAddress({ list, active }) {
  const { conversation } = active;
  const named = new URLSearchParams(location.search).get("conversation") ?? "";
  if (list.length > 1 || conversation === named) return; // what else it says may stay
  const query = conversation && `?conversation=${encodeURIComponent(conversation)}`;
  history.replaceState(null, "", location.pathname + query);
}
