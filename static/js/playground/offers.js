// Which buttons and hints the page has: what cannot be done now is not offered.
import { element } from "./element.js";

/**
 * @param {import("./panes.js").Panes} panes
 * @param {import("./pane.js").Pane[]} addressed those that what is written below is for
 * @param {"chat" | "completion"} mode
 * @param {boolean} mayRun
 */
export function offer({ list, active, running }, addressed, mode, mayRun) {
  element("run").hidden = addressed.every((pane) => pane.running);
  element("run").disabled = !mayRun;
  element("stop").hidden = running.length === 0;
  const isEmpty = list.every((pane) => pane.store.chat.turns.length === 0);
  element("empty").hidden = !isEmpty || mode === "completion" || list.length > 1;
  const continued = mode === "completion" && active.store.chat.turns.length > 1;
  element("again").hidden = element("take-back").hidden = !continued || active.running;
}
