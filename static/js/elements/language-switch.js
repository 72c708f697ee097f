/**
 * Leads back to the address the page has when a language is chosen: scripts may have changed it
 * since the server wrote it into the form inside.
 */
export class LanguageSwitch extends HTMLElement {
  connectedCallback() {
    const next = /** @type {HTMLInputElement | null} */ (this.querySelector("[name=next]"));
    const written = location.href;
    this.addEventListener("submit", () => {
      if (next && location.href !== written) next.value = location.pathname + location.search;
    });
  }
}

customElements.define("language-switch", LanguageSwitch);
