// The table of variables: a row for each name that is written somewhere on the page.
import { namesIn } from "./variables.js";

export class VariablesView {
  /** Also of names that are gone for now: they may come back. @type {Record<string, string>} */
  values = {};
  #shown = "";

  /** @param {HTMLElement} section with a table inside, hidden while there is no name */
  constructor(section) {
    this.section = section;
    this.rows = /** @type {HTMLElement} */ (section.querySelector("tbody"));
    this.rows.addEventListener("input", (event) => {
      const input = /** @type {HTMLTextAreaElement} */ (event.target);
      this.values[input.name] = input.value;
    });
  }

  /** @param {string[]} texts everything that may name a variable */
  look(texts) {
    const names = namesIn(texts);
    if (names.join() === this.#shown) return;
    this.#shown = names.join();
    this.section.hidden = names.length === 0;
    this.rows.replaceChildren(...names.map((name) => this.#row(name)));
  }

  /** @param {Record<string, string>} values */
  set(values) {
    this.values = { ...values };
    this.#shown = "";
  }

  /** @param {string} name which may be that of something that every object has */
  #valueOf(name) {
    return Object.hasOwn(this.values, name) ? this.values[name] : "";
  }

  /** @param {string} name */
  #row(name) {
    const row = document.createElement("tr");
    const head = row.appendChild(document.createElement("th"));
    head.scope = "row";
    head.id = `variable-${name}`;
    head.append(Object.assign(document.createElement("code"), { textContent: name }));
    const input = row.insertCell().appendChild(document.createElement("textarea"));
    Object.assign(input, { name, value: this.#valueOf(name), rows: 1, dir: "auto" });
    input.className = "input";
    input.setAttribute("aria-labelledby", head.id);
    return row;
  }
}
