/** Closes its `<details>` on Escape, on a press outside and when focus leaves. */
export class DropMenu extends HTMLElement {
  #close = (/** @type {Event} */ event) => {
    const details = this.querySelector("details");
    if (!details?.open) return;
    if (event instanceof KeyboardEvent) {
      if (event.key !== "Escape") return;
      event.preventDefault(); // it means nothing else, to the page or to what the menu stands in
      details.open = false;
      details.querySelector("summary")?.focus();
    } else if (!(event.target instanceof Node && this.contains(event.target))) {
      details.open = false;
    }
  };

  connectedCallback() {
    for (const type of ["pointerdown", "keydown", "focusin"]) {
      document.addEventListener(type, this.#close);
    }
  }

  disconnectedCallback() {
    for (const type of ["pointerdown", "keydown", "focusin"]) {
      document.removeEventListener(type, this.#close);
    }
  }
}

customElements.define("drop-menu", DropMenu);
