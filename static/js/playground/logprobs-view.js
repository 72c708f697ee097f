// An answer token by token: underlined and tinted by how likely each was; the one under the pointer
// or the cursor tells its alternatives. One stop of the Tab key, then arrow keys.
import { levelOf, percent, perplexity, plain, speller, visible } from "./probability.js";

export class LogprobsView {
  /** @type {import("./state.js").Token[]} */
  #tokens = [];
  #at = -1;
  #spell = speller();

  /** @param {HTMLElement} place a copy of the template's part */
  constructor(place) {
    this.text = /** @type {HTMLElement} */ (place.querySelector("[data-tokens]"));
    this.about = /** @type {HTMLElement} */ (place.querySelector("[data-about]"));
    this.total = /** @type {HTMLElement} */ (place.querySelector("[data-total]"));
    this.text.addEventListener("pointerover", (event) => this.#pointed(event));
    this.text.addEventListener("click", (event) => this.#pointed(event));
    this.text.addEventListener("focus", () => this.#choose(Math.max(this.#at, 0)));
    this.text.addEventListener("keydown", (event) => this.#moved(event));
  }

  /**
   * @param {import("./state.js").Token[]} tokens only ever grow while an answer streams
   * @param {import("./state.js").Summary | null} summary
   */
  update(tokens, summary) {
    const known = this.#tokens.length;
    if (tokens.length < known || tokens[0] !== this.#tokens[0]) {
      this.text.replaceChildren();
      this.#at = -1;
    }
    const from = this.text.childElementCount;
    if (from === 0) this.#spell = speller();
    this.#tokens = tokens;
    this.text.append(...tokens.slice(from).map((token) => tokenElement(token, this.#spell)));
    this.total.hidden = summary?.perplexity === undefined;
    if (summary?.perplexity === undefined) return;
    this.#say("perplexity", plain(summary.perplexity));
    this.#say("logprob", summary.logprob.toFixed(2));
  }

  /** @param {Event} event */
  #pointed(event) {
    const token = /** @type {Element} */ (event.target).closest("[data-level]");
    if (token) this.#choose([...this.text.children].indexOf(token));
  }

  /** @param {KeyboardEvent} event */
  #moved(event) {
    const last = this.#tokens.length - 1;
    const to = {
      ArrowRight: this.#at + 1,
      ArrowLeft: this.#at - 1,
      Home: 0,
      End: last,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.#choose(Math.min(Math.max(to, 0), last));
  }

  /** @param {number} at */
  #choose(at) {
    const token = this.#tokens[at];
    if (!token || at === this.#at) return;
    this.text.children[this.#at]?.removeAttribute("data-chosen");
    this.#at = at;
    this.text.children[at].setAttribute("data-chosen", "");
    this.about.hidden = false;
    this.#say("token", visible(token.token));
    this.#say("chance", percent(token.logprob));
    this.#say("own-perplexity", perplexity(token.logprob));
    const list = /** @type {HTMLElement} */ (this.about.querySelector("[data-top]"));
    list.replaceChildren(...token.top.map(([text, logprob]) => alternative(text, logprob)));
    list.hidden = token.top.length === 0;
  }

  /**
   * @param {string} name
   * @param {string} text
   */
  #say(name, text) {
    for (const part of [this.about, this.total]) {
      const place = part.querySelector(`[data-say=${name}]`);
      if (place) place.textContent = text;
    }
  }
}

/**
 * @param {import("./state.js").Token} token
 * @param {(token: string) => string} spell
 */
function tokenElement({ token, logprob }, spell) {
  const element = document.createElement("span");
  element.dataset.level = String(levelOf(logprob));
  element.textContent = spell(token);
  return element;
}

/**
 * @param {string} text
 * @param {number} logprob
 */
function alternative(text, logprob) {
  const item = document.createElement("li");
  const token = document.createElement("code");
  token.textContent = visible(text);
  const share = document.createElement("meter");
  share.value = Math.exp(logprob);
  share.setAttribute("aria-hidden", "true");
  const number = Object.assign(document.createElement("span"), { textContent: percent(logprob) });
  number.className = "num";
  item.append(token, share, number);
  return item;
}
