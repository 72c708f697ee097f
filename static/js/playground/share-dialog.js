// Links to a conversation as it stands: made, given to fewer or more people, withdrawn.
import { confirmed } from "../confirmed.js";
import { ask } from "./server.js";

export class ShareDialog {
  #conversation = "";

  /**
   * @param {HTMLDialogElement} dialog
   * @param {object} options
   * @param {string} options.conversations
   * @param {string} options.snapshots
   * @param {Record<string, string>} options.texts
   */
  constructor(dialog, { conversations, snapshots, texts }) {
    this.dialog = dialog;
    this.conversations = conversations;
    this.snapshots = snapshots;
    this.texts = texts;
    this.items = /** @type {HTMLElement} */ (dialog.querySelector("#share-list"));
    this.problem = /** @type {HTMLElement} */ (dialog.querySelector("#share-error"));
    this.form = /** @type {HTMLFormElement} */ (dialog.querySelector("form"));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#make();
    });
    this.items.addEventListener("change", (event) => void this.#change(event));
    this.items.addEventListener("click", (event) => void this.#withdraw(event));
  }

  /** @param {string} conversation its id; nothing while there is no answer to share */
  async show(conversation) {
    this.#conversation = conversation;
    this.items.replaceChildren();
    this.form.hidden = conversation === "";
    this.#complain(conversation === "" ? this.texts.nothing_to_share : "");
    this.dialog.showModal();
    if (conversation) await this.#try(() => this.#load());
  }

  get #url() {
    return `${this.conversations}${this.#conversation}/snapshots/`;
  }

  async #load() {
    const { snapshots } = await ask(this.#url);
    this.items.replaceChildren(
      ...snapshots.map((/** @type {Record<string, string>} */ snapshot) => linkItem(snapshot)),
    );
  }

  async #make() {
    const audience = new FormData(this.form).get("audience");
    await this.#try(async () => {
      await ask(this.#url, { audience });
      await this.#load();
    });
  }

  /** @param {Event} event */
  async #change(event) {
    const select = /** @type {HTMLSelectElement} */ (event.target);
    const { id } = /** @type {HTMLElement} */ (select.closest("[data-id]")).dataset;
    await this.#try(() => ask(`${this.snapshots}${id}/`, { audience: select.value }));
  }

  /** @param {Event} event */
  async #withdraw(event) {
    const button = /** @type {Element} */ (event.target).closest("[data-remove]");
    if (!button) return;
    const { id } = /** @type {HTMLElement} */ (button.closest("[data-id]")).dataset;
    if (!(await confirmed(this.texts.withdraw_link, this.texts.withdraw))) return;
    await this.#try(async () => {
      await ask(`${this.snapshots}${id}/delete/`, {});
      await this.#load();
    });
  }

  /** @param {() => Promise<void>} action */
  async #try(action) {
    this.#complain("");
    try {
      await action();
    } catch (error) {
      this.#complain((error instanceof Error && error.message) || this.texts.not_loaded);
    }
  }

  /** @param {string} sentence */
  #complain(sentence) {
    this.problem.textContent = sentence;
    this.problem.hidden = sentence === "";
  }
}

/** @param {Record<string, string>} snapshot */
function linkItem({ id, url, audience }) {
  const template = /** @type {HTMLTemplateElement} */ (document.getElementById("link-template"));
  const item = /** @type {HTMLElement} */ (
    /** @type {Element} */ (template.content.firstElementChild).cloneNode(true)
  );
  item.dataset.id = id;
  const link = /** @type {HTMLAnchorElement} */ (item.querySelector("a"));
  [link.href, link.textContent] = [url, url];
  /** @type {HTMLSelectElement} */ (item.querySelector("select")).value = audience;
  item.querySelector("copy-button")?.setAttribute("value", url);
  return item;
}
