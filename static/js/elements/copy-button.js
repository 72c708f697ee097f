/**
 * Copies text when its button is pressed, and says so.
 *
 * `value`: the text itself; or `from`: a selector of the element whose text is copied, or `next`
 * for the `pre` that follows in the same block of code. `copied`: what to say afterwards.
 */
export class CopyButton extends HTMLElement {
  connectedCallback() {
    this.addEventListener("click", () => void this.#copy());
  }

  /** @returns {string} */
  get text() {
    const from = this.getAttribute("from");
    if (from === null) return this.getAttribute("value") ?? "";
    const source =
      from === "next" ? this.closest(".code")?.querySelector("pre") : document.querySelector(from);
    return (source?.textContent ?? "").trim();
  }

  async #copy() {
    const label = this.querySelector("button span");
    if (!label || this.classList.contains("copied")) return;
    try {
      await navigator.clipboard.writeText(this.text);
    } catch {
      if (!copyBySelection(this.text, this)) return;
    }
    const before = label.textContent;
    label.setAttribute("role", "status");
    label.textContent = this.getAttribute("copied");
    this.classList.add("copied");
    setTimeout(() => {
      label.textContent = before;
      this.classList.remove("copied");
    }, 1600);
  }
}

/**
 * The way that also works without https, where the clipboard interface is missing.
 * @param {string} text
 * @param {HTMLElement} place in it, since beside an open dialog nothing can be selected
 * @returns {boolean}
 */
function copyBySelection(text, place) {
  const before = document.activeElement;
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  place.append(area);
  area.select();
  const worked = document.execCommand("copy");
  area.remove();
  if (before instanceof HTMLElement) before.focus();
  return worked;
}

customElements.define("copy-button", CopyButton);
