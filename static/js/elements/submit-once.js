/**
 * Sends the form inside it once: its answer shows what is shown once, which the answer to a second
 * press on its button would cover.
 */
export class SubmitOnce extends HTMLElement {
  #isSent = false;

  connectedCallback() {
    this.addEventListener("submit", (event) => {
      if (this.#isSent) event.preventDefault();
      this.#isSent = true;
    });
    // Who comes back to the page may send it again.
    window.addEventListener("pageshow", () => (this.#isSent = false));
  }
}

customElements.define("submit-once", SubmitOnce);
