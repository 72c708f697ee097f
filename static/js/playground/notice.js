// What the page says about itself, where one writes: the connection, or what hinders it.
import { balance, dollars } from "./format.js";

export class Notice {
  /** What is said when the connection is there. */
  #kept = "";
  /** @type {import("./socket.js").Connection} */
  #state = "connecting";
  /** What the server said last of the connection itself. @type {{message: string, status: number} | null} */
  #refusal = null;

  /**
   * @param {HTMLElement} element
   * @param {Record<string, string>} texts by state of the connection, and `sign_in`
   */
  constructor(element, texts) {
    this.element = element;
    this.texts = texts;
  }

  /** @param {string} sentence empty: nothing hinders */
  say(sentence) {
    if (this.#state === "ready") this.#kept = sentence;
    this.#show(sentence);
  }

  /** @param {{message: string, status: number}} error of the connection, in the server's words */
  refused(error) {
    this.#refusal = error;
    this.say(error.message);
  }

  /** @param {import("./socket.js").Connection} state */
  connectionIs(state) {
    this.#state = state;
    if (state === "turned-away") return this.#tellWhy();
    this.#refusal = null;
    this.#show(state === "ready" ? this.#kept : (this.texts[state] ?? ""));
  }

  /** Whose session is over can sign in again; that helps nobody else. */
  #tellWhy() {
    const isSignedIn = this.#refusal !== null && this.#refusal.status !== 401;
    this.#show(this.#refusal?.message ?? this.texts["turned-away"] ?? "");
    if (!isSignedIn) this.#offerSignIn();
  }

  /** @param {string} sentence */
  #show(sentence) {
    this.element.textContent = sentence;
    this.element.hidden = sentence === "";
  }

  #offerSignIn() {
    const link = document.createElement("a");
    link.href = location.href; // the server asks for a sign-in and leads back here
    link.textContent = this.texts.sign_in ?? "";
    this.element.append(" ", link);
  }
}

/** @param {number} nanos what the organisation may spend, shown in every place for it */
export function showBalance(nanos) {
  for (const place of document.querySelectorAll("[data-balance]")) {
    place.textContent = balance(nanos);
    place.setAttribute("title", dollars(nanos));
  }
}
