/**
 * Shows one of several samples that say the same in different languages. Without scripts they
 * stand one below the other.
 *
 * `label`: what the choice is called. Its children are `.code` blocks with the language in
 * `data-label`. The choice holds for all samples of a page, and for the pages after it.
 */
const KEPT_AS = "code-language";
const CHOSEN = "code-language-chosen";
let made = 0;
let chosen = kept();

export class CodeTabs extends HTMLElement {
  /** @type {HTMLButtonElement[]} */
  #tabs = [];

  connectedCallback() {
    if (this.#tabs.length === 0) this.#make();
    document.addEventListener(CHOSEN, this.#show);
    this.#show();
  }

  disconnectedCallback() {
    document.removeEventListener(CHOSEN, this.#show);
  }

  #make() {
    const list = document.createElement("div");
    list.className = "tabs";
    list.setAttribute("role", "tablist");
    list.setAttribute("aria-label", this.getAttribute("label") ?? "");
    this.#tabs = this.#panels.map((panel) => tabOf(panel));
    list.append(...this.#tabs);
    list.addEventListener("click", (event) => {
      const at = this.#tabs.findIndex((tab) => tab === event.target);
      if (at >= 0) choose(this.#tabs[at].textContent ?? "");
    });
    list.addEventListener("keydown", (event) => this.#moved(event));
    this.prepend(list);
  }

  get #panels() {
    return /** @type {HTMLElement[]} */ ([...this.querySelectorAll(":scope > .code")]);
  }

  #show = () => {
    const at = Math.max(0, this.#tabs.findIndex((tab) => tab.textContent === chosen));
    this.#tabs.forEach((tab, index) => {
      tab.setAttribute("aria-selected", String(index === at));
      tab.tabIndex = index === at ? 0 : -1;
    });
    this.#panels.forEach((panel, index) => {
      panel.hidden = index !== at;
    });
  };

  /** @param {KeyboardEvent} event */
  #moved(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = this.#tabs.findIndex((tab) => tab.tabIndex === 0);
    const next = this.#tabs[(at + step + this.#tabs.length) % this.#tabs.length];
    choose(next.textContent ?? "");
    next.focus();
  }
}

/**
 * @param {HTMLElement} panel
 * @returns {HTMLButtonElement}
 */
function tabOf(panel) {
  made += 1;
  panel.id = `sample-${made}`;
  panel.setAttribute("role", "tabpanel");
  const tab = document.createElement("button");
  Object.assign(tab, { type: "button", id: `sample-tab-${made}`, textContent: panel.dataset.label });
  tab.setAttribute("role", "tab");
  tab.setAttribute("aria-controls", panel.id);
  panel.setAttribute("aria-labelledby", tab.id);
  return tab;
}

/** @param {string} label */
function choose(label) {
  chosen = label;
  try {
    localStorage.setItem(KEPT_AS, label);
  } catch {
    // A browser that keeps nothing: it holds for this page.
  }
  document.dispatchEvent(new CustomEvent(CHOSEN));
}

/** @returns {string | null} */
function kept() {
  try {
    return localStorage.getItem(KEPT_AS);
  } catch {
    return null;
  }
}

customElements.define("code-tabs", CodeTabs);
