// The list of messages: keeps one view for each turn, follows the end while an answer streams, and
// hands what is pressed to whoever owns the chat.
import { TurnView } from "./turn-view.js";

/** This close to the end of the page counts as reading along. */
const NEAR_PX = 120;

export class ChatView {
  /** @type {Map<number, TurnView>} */
  #views = new Map();

  /**
   * @param {HTMLElement} list
   * @param {object} options
   * @param {Record<string, string>} options.texts
   * @param {Record<string, string>} options.urls
   * @param {(action: Record<string, any>) => void} options.onAction edit, switchRole, remove, again
   */
  constructor(list, { texts, urls, onAction }) {
    this.list = list;
    this.texts = texts;
    this.urls = urls;
    this.onAction = onAction;
    list.addEventListener("click", (event) => this.#pressed(event));
    list.addEventListener("submit", (event) => this.#saved(event));
    list.addEventListener("keydown", (event) => this.#typed(event));
  }

  /** @param {import("./state.js").Chat} chat */
  update(chat) {
    const following = isNearEnd();
    const grown = chat.turns.length > this.#views.size;
    const keys = new Set(chat.turns.map((turn) => turn.key));
    for (const [key, view] of this.#views) {
      if (keys.has(key)) continue;
      view.element.remove();
      this.#views.delete(key);
    }
    for (const turn of chat.turns) this.#viewOf(turn).update(turn);
    if (following || grown) window.scrollTo({ top: document.documentElement.scrollHeight });
  }

  /** @param {import("./state.js").Turn} turn */
  #viewOf(turn) {
    let view = this.#views.get(turn.key);
    if (!view) {
      view = new TurnView(this.texts, this.urls);
      this.#views.set(turn.key, view);
      this.list.append(view.element);
    }
    return view;
  }

  /** @param {Event} event */
  #pressed(event) {
    const button = /** @type {Element} */ (event.target).closest("button[data-action]");
    const found = this.#find(event);
    if (!button || !found) return;
    const action = /** @type {HTMLElement} */ (button).dataset.action;
    if (action === "edit") found.view.edit();
    else if (action === "leave") found.view.leave();
    else this.onAction({ type: action, key: found.key });
  }

  /** @param {Event} event */
  #saved(event) {
    event.preventDefault();
    const found = this.#find(event);
    if (!found) return;
    found.view.leave();
    this.onAction({ type: "edit", key: found.key, content: found.view.draft });
  }

  /** @param {KeyboardEvent} event */
  #typed(event) {
    const found = this.#find(event);
    if (event.key !== "Escape" || !found?.view.editing) return;
    event.stopPropagation();
    found.view.leave();
  }

  /** @param {Event} event */
  #find(event) {
    const item = /** @type {HTMLElement | null} */ (
      /** @type {Element} */ (event.target).closest("li[data-key]")
    );
    const key = Number(item?.dataset.key);
    const view = this.#views.get(key);
    return view && { key, view };
  }
}

function isNearEnd() {
  const { scrollHeight } = document.documentElement;
  return scrollHeight - window.scrollY - window.innerHeight < NEAR_PX;
}
