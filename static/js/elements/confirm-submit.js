/**
 * Sends the form inside it when its `question` was answered with `yes`; else the form is as it was.
 * Without scripts the form is sent at once. Its buttons may have no name: they are not sent.
 */
import { confirmed } from "../confirmed.js";

export class ConfirmSubmit extends HTMLElement {
  connectedCallback() {
    this.addEventListener("submit", (event) => void this.#ask(event));
  }

  /** @param {Event} event */
  async #ask(event) {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.target);
    const question = this.getAttribute("question") ?? "";
    if (await confirmed(question, this.getAttribute("yes") ?? "")) form.submit();
    else form.reset();
  }
}

customElements.define("confirm-submit", ConfirmSubmit);
