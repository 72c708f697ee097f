/** A message with a button that takes it away; without script it simply stays. */
export class DismissMessage extends HTMLElement {
  connectedCallback() {
    const button = this.querySelector("button");
    if (!button) return;
    button.hidden = false;
    button.addEventListener("click", () => this.remove());
  }
}

customElements.define("dismiss-message", DismissMessage);
