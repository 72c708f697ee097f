// Holds one chat; tells its listeners, at most once per animation frame, that it changed.
import { emptyChat, reduce } from "./state.js";

/**
 * After a drawing that took long the page has this many times as long for everything else: a text
 * that is a single huge block must not make scrolling and typing stumble.
 */
const REST = 3;
/** What fits into a frame needs no rest. */
const SHORT_MS = 8;

export class ChatStore {
  chat = emptyChat();
  #waiting = false;
  #restUntil = 0;
  /** @type {Set<(chat: import("./state.js").Chat) => void>} */
  #listeners = new Set();

  /** @param {(chat: import("./state.js").Chat) => void} listener */
  subscribe(listener) {
    this.#listeners.add(listener);
  }

  /** @param {Record<string, any>} action */
  apply(action) {
    const before = this.chat;
    this.chat = reduce(before, action);
    if (this.chat === before || this.#waiting) return;
    this.#waiting = true;
    const rest = this.#restUntil - performance.now();
    // A hidden tab has no frames; it must not fall behind for ever.
    if (document.hidden) setTimeout(() => this.#tell(), 250);
    else if (rest > 0) setTimeout(() => requestAnimationFrame(() => this.#tell()), rest);
    else requestAnimationFrame(() => this.#tell());
  }

  #tell() {
    if (!this.#waiting) return;
    this.#waiting = false;
    const began = performance.now();
    for (const listener of this.#listeners) listener(this.chat);
    const ended = performance.now();
    const took = ended - began;
    this.#restUntil = took > SHORT_MS ? ended + REST * took : 0;
  }
}
