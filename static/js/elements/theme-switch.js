/**
 * Chooses between light, dark and the system's colours. The choice is a cookie, so that the
 * server writes it into the page and nothing flashes.
 */
const YEAR_S = 365 * 86_400;

export class ThemeSwitch extends HTMLElement {
  connectedCallback() {
    this.addEventListener("click", (event) => {
      const button = event.target instanceof Element ? event.target.closest("button") : null;
      if (button) choose(button.value);
    });
    document.addEventListener("theme-change", this.#show);
    this.#show();
  }

  disconnectedCallback() {
    document.removeEventListener("theme-change", this.#show);
  }

  #show = () => {
    const chosen = document.documentElement.dataset.theme ?? "";
    for (const button of this.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.value === chosen));
    }
  };
}

/** @param {string} theme `light`, `dark`, or nothing for the system's */
function choose(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  const secure = location.protocol === "https:" ? "; Secure" : "";
  const age = theme ? YEAR_S : 0;
  document.cookie = `theme=${theme}; Path=/; Max-Age=${age}; SameSite=Lax${secure}`;
  document.dispatchEvent(new CustomEvent("theme-change"));
}

customElements.define("theme-switch", ThemeSwitch);
