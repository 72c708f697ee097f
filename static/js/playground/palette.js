// The command palette: type a part of what you want, choose with the arrow keys, press Enter.
import { matching } from "./matching.js";

const SHOWN = 50;

export class Palette {
  /** @type {import("./matching.js").Command[]} */
  #found = [];
  #at = 0;

  /**
   * @param {HTMLDialogElement} dialog
   * @param {() => import("./matching.js").Command[]} commands what can be done now
   */
  constructor(dialog, commands) {
    this.dialog = dialog;
    this.commands = commands;
    this.input = /** @type {HTMLInputElement} */ (dialog.querySelector("input"));
    this.list = /** @type {HTMLElement} */ (dialog.querySelector("[role=listbox]"));
    this.none = /** @type {HTMLElement} */ (dialog.querySelector("[data-none]"));
    this.input.addEventListener("input", () => this.#search());
    this.input.addEventListener("keydown", (event) => this.#typed(event));
    this.list.addEventListener("click", (event) => this.#pressed(event));
  }

  toggle() {
    if (this.dialog.open) return this.dialog.close();
    this.input.value = "";
    this.dialog.showModal();
    this.#search();
  }

  #search() {
    this.#found = matching(this.commands(), this.input.value).slice(0, SHOWN);
    this.none.hidden = this.#found.length > 0;
    this.list.replaceChildren(...this.#found.map(option));
    this.#choose(0);
  }

  /** @param {KeyboardEvent} event */
  #typed(event) {
    if (event.isComposing) return; // Enter and the arrows are the input method's
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) this.#choose((this.#at + step + this.#found.length) % Math.max(this.#found.length, 1));
    else if (event.key === "Enter") this.#run(this.#at);
    else return;
    event.preventDefault();
  }

  /** @param {Event} event */
  #pressed(event) {
    const chosen = /** @type {Element} */ (event.target).closest("[role=option]");
    if (chosen) this.#run([...this.list.children].indexOf(chosen));
  }

  /** @param {number} at */
  #choose(at) {
    this.list.children[this.#at]?.setAttribute("aria-selected", "false");
    this.#at = at;
    const chosen = this.list.children[at];
    chosen?.setAttribute("aria-selected", "true");
    chosen?.scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", chosen?.id ?? "");
  }

  /** @param {number} at */
  #run(at) {
    const command = this.#found[at];
    if (!command) return;
    this.dialog.close();
    command.run();
  }
}

/**
 * @param {import("./matching.js").Command} command
 * @param {number} at
 */
function option({ label, group, keys }, at) {
  const item = document.createElement("li");
  item.id = `command-${at}`;
  item.setAttribute("role", "option");
  item.setAttribute("aria-selected", "false");
  const name = Object.assign(document.createElement("span"), { textContent: label });
  item.append(name);
  if (group || keys) {
    const rest = document.createElement(keys ? "kbd" : "span");
    rest.textContent = keys ?? group ?? "";
    rest.className = "small muted";
    item.append(rest);
  }
  return item;
}
