/**
 * Keeps its content fresh: fetches `src` (default: this page) every `every` seconds and takes over
 * the inside of the element with the same id. It rests while somebody reads: while the tab is
 * hidden, a dialog is open, or something inside has focus, a selection or a pointer that moved just
 * now. It has the attribute `resting` meanwhile, and doubles its pause after each failure.
 */
const READING_MS = 6000; // a pointer that rests for longer was left there

export class LiveFragment extends HTMLElement {
  /** @type {number | undefined} */
  #timer;
  #pause = 5;
  #pointed = -READING_MS;

  connectedCallback() {
    this.addEventListener("pointermove", () => {
      this.#pointed = performance.now();
      this.toggleAttribute("resting", true);
    });
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
    const resting = this.#resting;
    this.toggleAttribute("resting", resting);
    if (!resting && !(await this.#refresh())) next = Math.min(seconds * 2, 120);
    if (this.isConnected) this.#wait(next);
  }

  get #resting() {
    const selection = document.getSelection();
    const selecting = selection && !selection.isCollapsed && this.contains(selection.anchorNode);
    const pointing = performance.now() - this.#pointed < READING_MS;
    const reading = pointing || selecting || this.contains(document.activeElement);
    return document.hidden || reading || document.querySelector("dialog[open]") !== null;
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
        redirect: "manual", // to where whoever is no member begins anew: that is for a person to open
      });
      if (!answer.ok || !isOfThisOrganisation(answer)) return false;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById(this.id);
      if (!fresh) return false;
      this.#takeBalance(page);
      // Somebody may have begun to read while it was asked.
      if (!this.#resting && fresh.textContent !== this.textContent) {
        this.replaceChildren(...document.importNode(fresh, true).childNodes);
      }
      return true;
    } catch {
      return false;
    }
  }
}

/**
 * Another tab may have chosen another organisation, whose numbers would stand under this one's name.
 * @param {Response} answer
 */
function isOfThisOrganisation(answer) {
  const own = document.querySelector("[name=page_of]")?.getAttribute("value") ?? null;
  return answer.headers.get("X-Page-Of") === own;
}

customElements.define("live-fragment", LiveFragment);
