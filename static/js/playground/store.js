// Holds one chat; tells its listeners, at most once per animation frame, that it changed.
import { emptyChat, reduce } from "./state.js";

export class ChatStore {
  chat = emptyChat();
  #waiting = false;
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
    // A hidden tab has no frames; it must not fall behind for ever.
    if (document.hidden) setTimeout(() => this.#tell(), 250);
    else requestAnimationFrame(() => this.#tell());
  }

  #tell() {
    if (!this.#waiting) return;
    this.#waiting = false;
    for (const listener of this.#listeners) listener(this.chat);
  }
}
