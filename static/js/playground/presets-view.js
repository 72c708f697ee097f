// Presets: saving what a pane asks with under a name, opening one, going back to a version of it.
import { confirmed } from "../confirmed.js";
import { fill } from "./format.js";
import { ask } from "./server.js";

export class PresetsView {
  /** @type {{id: string, name: string, number: number}[]} */
  list = [];
  #name = "";

  /**
   * @param {HTMLDialogElement} dialog
   * @param {object} options
   * @param {string} options.url
   * @param {Record<string, string>} options.texts
   * @param {() => Record<string, any> | null} options.content what would be saved
   * @param {(content: Record<string, any>) => Promise<boolean>} options.onOpen whether it was opened
   * @param {() => void} options.onSaved
   */
  constructor(dialog, { url, texts, content, onOpen, onSaved }) {
    this.dialog = dialog;
    this.url = url;
    this.texts = texts;
    this.content = content;
    this.onOpen = onOpen;
    this.onSaved = onSaved;
    this.name = /** @type {HTMLInputElement} */ (dialog.querySelector("#preset-name"));
    this.items = /** @type {HTMLElement} */ (dialog.querySelector("#preset-list"));
    this.problem = /** @type {HTMLElement} */ (dialog.querySelector("#preset-error"));
    dialog.querySelector("form")?.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#try(() => this.#save());
    });
    this.items.addEventListener("click", (event) => void this.#pressed(event));
    this.items.addEventListener("change", (event) => void this.#versionChosen(event));
  }

  async show() {
    this.name.value = this.#name;
    this.dialog.showModal();
    await this.#try(() => this.refresh());
  }

  async refresh() {
    this.list = (await ask(this.url)).presets;
    this.items.replaceChildren(...this.list.map((preset) => this.#item(preset)));
  }

  /**
   * @param {string} id
   * @param {string} [version]
   */
  async open(id, version) {
    const query = version ? `?version=${version}` : "";
    const preset = await ask(`${this.url}${id}/${query}`);
    this.dialog.close();
    if (await this.onOpen(preset.content)) this.#name = preset.name;
  }

  async #save() {
    const content = this.content();
    if (content === null) return this.dialog.close();
    const saved = await ask(this.url, { name: this.name.value, content });
    this.#name = saved.name;
    this.onSaved();
    await this.refresh();
  }

  /** @param {{id: string, name: string, number: number}} preset */
  #item({ id, name, number }) {
    const template = /** @type {HTMLTemplateElement} */ (document.getElementById("preset-template"));
    const item = /** @type {HTMLElement} */ (
      /** @type {Element} */ (template.content.firstElementChild).cloneNode(true)
    );
    item.dataset.id = id;
    /** @type {HTMLElement} */ (item.querySelector("[data-name]")).textContent = name;
    const versions = /** @type {HTMLSelectElement} */ (item.querySelector("select"));
    versions.setAttribute("aria-label", `${this.texts.version}: ${name}`);
    for (let each = number; each > 0; each -= 1) {
      versions.append(new Option(`${this.texts.version} ${each}`, String(each)));
    }
    item.querySelector("[data-remove]")?.setAttribute("aria-label", `${this.texts.delete}: ${name}`);
    return item;
  }

  /** @param {Event} event */
  async #pressed(event) {
    const button = /** @type {Element} */ (event.target).closest("button");
    const item = /** @type {HTMLElement | null} */ (button?.closest("[data-id]") ?? null);
    if (!button || !item) return;
    const id = item.dataset.id ?? "";
    if (!button.matches("[data-remove]")) return this.#try(() => this.open(id));
    const name = item.querySelector("[data-name]")?.textContent ?? "";
    if (!(await confirmed(fill(this.texts.delete_preset, { name }), this.texts.delete))) return;
    await this.#try(async () => {
      await ask(`${this.url}${id}/delete/`, {});
      await this.refresh();
    });
  }

  /** @param {Event} event */
  async #versionChosen(event) {
    const select = /** @type {HTMLSelectElement} */ (event.target);
    const item = /** @type {HTMLElement} */ (select.closest("[data-id]"));
    await this.#try(() => this.open(item.dataset.id ?? "", select.value));
  }

  /** @param {() => Promise<void>} action */
  async #try(action) {
    this.problem.hidden = true;
    try {
      await action();
    } catch (error) {
      this.problem.textContent = (error instanceof Error && error.message) || this.texts.not_loaded;
      this.problem.hidden = false;
    }
  }
}
