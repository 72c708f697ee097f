// Up to four panes beside each other, one of which the settings at the side speak of.
import { Pane } from "./pane.js";

export const MOST_PANES = 4;

export class Panes {
  /** @type {Pane[]} */
  list = [];
  /** @type {Pane} */
  active;

  /**
   * @param {HTMLElement} place
   * @param {import("./pane.js").Desk} desk
   * @param {import("./request.js").Settings} settings of the first one
   */
  constructor(place, desk, settings) {
    this.place = place;
    this.desk = desk;
    this.active = this.add(settings);
  }

  get running() {
    return this.list.filter((pane) => pane.running);
  }

  /** @param {import("./request.js").Settings} settings */
  add(settings) {
    const pane = new Pane(this.desk, settings);
    this.list.push(pane);
    this.place.append(pane.element);
    this.#arrange();
    return pane;
  }

  /** @param {Pane} pane one of several */
  remove(pane) {
    pane.stop();
    pane.element.remove();
    this.list = this.list.filter((other) => other !== pane);
    if (this.active === pane) this.active = this.list[0];
    this.#arrange();
  }

  /** @param {Pane} pane */
  activate(pane) {
    this.active = pane;
    this.#arrange();
  }

  /** @param {Pane} pane whose text to continue becomes that of the others, but of those that run */
  spreadText(pane) {
    for (const other of this.list) {
      if (other !== pane && !other.running) other.text.value = pane.text.value;
    }
  }

  #arrange() {
    const beside = this.list.length > 1;
    this.place.dataset.panes = String(this.list.length);
    for (const [at, { element }] of this.list.entries()) {
      element.classList.toggle("beside", beside);
      element.toggleAttribute("data-active", beside && this.list[at] === this.active);
      element.setAttribute("aria-label", `${this.desk.texts.pane} ${at + 1}`);
      if (beside) element.tabIndex = 0;
      else element.removeAttribute("tabindex");
    }
  }
}
