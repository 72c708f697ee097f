// The list of kept conversations: fetched again after each answer, deleted for good on request.
import { confirmed } from "../confirmed.js";
import { fill } from "./format.js";
import { signature } from "./server.js";

/** Between the last letter and the search. */
const PAUSE_MS = 250;

export class HistoryView {
  #current = "";
  #asked = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #waiting;

  /**
   * @param {HTMLElement} place
   * @param {object} options
   * @param {string} options.url
   * @param {Record<string, string>} options.texts
   * @param {(id: string) => void} options.onDeleted
   */
  constructor(place, { url, texts, onDeleted }) {
    this.place = place;
    this.url = url;
    this.texts = texts;
    this.onDeleted = onDeleted;
    this.problem = /** @type {HTMLElement} */ (document.getElementById("history-error"));
    this.search = /** @type {HTMLInputElement} */ (document.getElementById("history-search"));
    this.search.addEventListener("input", () => this.#typed());
    place.addEventListener("click", (event) => void this.#pressed(event));
  }

  #typed() {
    clearTimeout(this.#waiting);
    this.#waiting = setTimeout(() => void this.refresh(this.#current), PAUSE_MS);
  }

  /** @param {string} current the conversation that is open */
  async refresh(current) {
    this.mark(current);
    this.#asked += 1;
    const asked = this.#asked;
    try {
      const address = `${this.url}?q=${encodeURIComponent(this.search.value)}`;
      const answer = await fetch(address, { headers: signature(), redirect: "manual" });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!answer.ok || asked !== this.#asked) return; // a later one knows more
      this.#replace(document.importNode(page.body, true));
      this.mark(this.#current);
    } catch {
      // The list stays as it was; the next answer tries again.
    }
  }

  /**
   * What had the focus in it has that again, if it is still there.
   * @param {HTMLElement} list
   */
  #replace(list) {
    const held = document.activeElement;
    const link = this.place.contains(held) ? linkBeside(held) : null;
    this.place.replaceChildren(...list.childNodes);
    if (!held || !link) return;
    const again = this.place.querySelector(`[data-conversation="${link.dataset.conversation}"]`);
    const control = again?.closest("li")?.querySelector(held.tagName);
    /** @type {HTMLElement | undefined | null} */ (control)?.focus({ preventScroll: true });
  }

  /** @param {string} current */
  mark(current) {
    this.#current = current;
    for (const link of this.place.querySelectorAll("[data-conversation]")) {
      const here = /** @type {HTMLElement} */ (link).dataset.conversation === current;
      if (here) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }

  /** @param {Event} event */
  async #pressed(event) {
    const button = /** @type {HTMLButtonElement | null} */ (
      /** @type {Element} */ (event.target).closest("button[data-delete]")
    );
    if (!button || !(await this.#mayDelete(button))) return;
    button.disabled = true;
    this.problem.hidden = true;
    const answer = await fetch(button.dataset.delete ?? "", {
      method: "POST",
      headers: signature(),
      redirect: "manual",
    }).catch(() => null);
    if (!answer || (!answer.ok && answer.status !== 404)) {
      button.disabled = false;
      this.problem.textContent = this.texts.not_deleted;
      this.problem.hidden = false;
      return;
    }
    this.onDeleted(button.dataset.id ?? "");
    await this.refresh(this.#current); // the button may be of a list that is gone
    this.search.focus();
  }

  /** @param {HTMLButtonElement} button */
  #mayDelete(button) {
    const title = linkBeside(button)?.textContent ?? "";
    return confirmed(fill(this.texts.delete_conversation, { title }), this.texts.delete);
  }
}

/**
 * To the conversation that a control is of.
 * @param {Element | null} control
 * @returns {HTMLElement | null}
 */
function linkBeside(control) {
  return control?.closest("li")?.querySelector("[data-conversation]") ?? null;
}
