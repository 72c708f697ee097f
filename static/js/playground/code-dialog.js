// "View code": asks the server for the samples of a request and shows one at a time.
import { ask } from "./server.js";

export class CodeDialog {
  /** @type {{name: string, label: string, code: string}[]} */
  #snippets = [];
  #chosen = "curl";

  /**
   * @param {HTMLDialogElement} dialog
   * @param {object} options
   * @param {string} options.url
   * @param {Record<string, string>} options.texts
   */
  constructor(dialog, { url, texts }) {
    this.dialog = dialog;
    this.url = url;
    this.texts = texts;
    this.tabs = /** @type {HTMLElement} */ (dialog.querySelector("#code-tabs"));
    this.panel = /** @type {HTMLElement} */ (dialog.querySelector("#code-panel"));
    this.problem = /** @type {HTMLElement} */ (dialog.querySelector("#code-error"));
    dialog.addEventListener("keydown", (event) => this.#copied(event));
    this.tabs.addEventListener("click", (event) => this.#pressed(event));
    this.tabs.addEventListener("keydown", (event) => this.#moved(event));
  }

  /** @param {Record<string, any>} frame what would be sent to the socket */
  async show(frame) {
    this.#snippets = [];
    this.#render("");
    this.dialog.showModal();
    try {
      this.#snippets = (await ask(this.url, frame)).snippets;
      this.#render("");
    } catch (error) {
      this.#render((error instanceof Error && error.message) || this.texts.not_loaded);
    }
  }

  /** @param {string} problem */
  #render(problem) {
    this.problem.textContent = problem;
    this.problem.hidden = problem === "";
    const shown = this.#snippets.find((snippet) => snippet.name === this.#chosen);
    this.panel.hidden = !shown;
    this.tabs.replaceChildren(...this.#snippets.map((snippet) => this.#tab(snippet)));
    if (!shown) return;
    this.panel.setAttribute("aria-labelledby", `code-tab-${shown.name}`);
    /** @type {Element} */ (this.panel.querySelector("#code-label")).textContent = shown.label;
    /** @type {Element} */ (this.panel.querySelector("#code-text")).textContent = shown.code;
  }

  /** @param {{name: string, label: string}} snippet */
  #tab({ name, label }) {
    const tab = document.createElement("button");
    Object.assign(tab, { type: "button", id: `code-tab-${name}`, textContent: label });
    tab.dataset.name = name;
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", "code-panel");
    tab.setAttribute("aria-selected", String(name === this.#chosen));
    tab.tabIndex = name === this.#chosen ? 0 : -1;
    return tab;
  }

  /** @param {Event} event */
  #pressed(event) {
    const tab = /** @type {HTMLElement | null} */ (
      /** @type {Element} */ (event.target).closest("[role=tab]")
    );
    if (tab) this.#choose(tab.dataset.name ?? "");
  }

  /** @param {KeyboardEvent} event */
  #moved(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step || this.#snippets.length === 0) return;
    const at = this.#snippets.findIndex((snippet) => snippet.name === this.#chosen);
    const next = (at + step + this.#snippets.length) % this.#snippets.length;
    this.#choose(this.#snippets[next].name);
  }

  /** @param {KeyboardEvent} event */
  #copied(event) {
    if (event.key.toLowerCase() !== "c" || event.ctrlKey || event.metaKey || event.altKey) return;
    /** @type {HTMLElement | null} */ (this.panel.querySelector("copy-button button"))?.click();
  }

  /** @param {string} name */
  #choose(name) {
    this.#chosen = name;
    this.#render("");
    document.getElementById(`code-tab-${name}`)?.focus();
  }
}
