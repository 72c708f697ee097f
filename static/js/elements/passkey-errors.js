/**
 * Says why a passkey did not work: allauth's code reports it as an event, which would otherwise
 * reach the console alone. Attributes: `cancelled` and `unavailable`, the two sentences.
 */
export class PasskeyErrors extends HTMLElement {
  connectedCallback() {
    document.addEventListener("allauth.error", this.#show);
  }

  disconnectedCallback() {
    document.removeEventListener("allauth.error", this.#show);
  }

  #show = (/** @type {Event} */ event) => {
    if (!(event instanceof CustomEvent)) return;
    event.preventDefault();
    const cancelled = event.detail?.exception?.name === "NotAllowedError";
    const message = document.createElement("p");
    message.className = "message bad";
    message.textContent = this.getAttribute(cancelled ? "cancelled" : "unavailable");
    this.replaceChildren(message);
  };
}

customElements.define("passkey-errors", PasskeyErrors);
