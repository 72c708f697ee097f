/**
 * Keeps its content fresh: fetches `src` (default: this page) every `every` seconds and takes over
 * the inside of the element with the same id. It rests while the tab is hidden, while something
 * inside has focus or a selection, and doubles its pause after each failure.
 */
export class LiveFragment extends HTMLElement {
  /** @type {number | undefined} */
  #timer;
  #pause = 5;

  connectedCallback() {
    this.#pause = Number(this.getAttribute("every") ?? "5");
    this.#wait(this.#pause);
  }

  disconnectedCallback() {
    clearTimeout(this.#timer);
  }

  /** @param {number} seconds */
  #wait(seconds) {
    this.#timer = window.setTimeout(() => void this.#tick(seconds), seconds * 1000);
  }

  /** @param {number} seconds how long the last pause was */
  async #tick(seconds) {
    let next = this.#pause;
    if (!this.#resting && !(await this.#refresh())) next = Math.min(seconds * 2, 120);
    if (this.isConnected) this.#wait(next);
  }

  get #resting() {
    const selection = document.getSelection();
    const selecting = selection && !selection.isCollapsed && this.contains(selection.anchorNode);
    return document.hidden || selecting || this.contains(document.activeElement);
  }

  /**
   * What the frame says of the balance is as fresh as the fragment, when the whole page came.
   * @param {Document} page
   */
  #takeBalance(page) {
    const fresh = page.querySelector("[data-balance]");
    if (!fresh) return;
    for (const place of document.querySelectorAll("[data-balance]")) {
      place.textContent = fresh.textContent;
      place.setAttribute("title", fresh.getAttribute("title") ?? "");
    }
  }

  /** @returns {Promise<boolean>} whether the server answered with the fragment */
  async #refresh() {
    try {
      const answer = await fetch(this.getAttribute("src") ?? location.href, {
        headers: { "X-Fragment": this.id },
      });
      if (!answer.ok || answer.redirected) return false;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById(this.id);
      if (!fresh) return false;
      this.#takeBalance(page);
      if (fresh.textContent !== this.textContent) {
        this.replaceChildren(...document.importNode(fresh, true).childNodes);
      }
      return true;
    } catch {
      return false;
    }
  }
}

customElements.define("live-fragment", LiveFragment);
