// The list of messages: keeps one view for each turn, follows the end while an answer streams, and
// hands what is pressed to whoever owns the chat.
import { Follower } from "./follower.js";
import { openCalls } from "./state.js";
import { TurnView } from "./turn-view.js";

export class ChatView {
  /** @type {Map<number, TurnView>} */
  #views = new Map();
  #resumed = new Map();
  /** Takes the focus once a turn was moved or taken away. @type {HTMLElement | null} */
  #focused = null;

  /**
   * @param {HTMLElement} list
   * @param {object} options
   * @param {Record<string, string>} options.texts
   * @param {Record<string, string>} options.urls
   * @param {() => HTMLElement} options.scroller what scrolls
   * @param {(action: Record<string, any>) => void} options.onAction edit, switchRole, move, remove,
   *   again, answerCall
   */
  constructor(list, { texts, urls, scroller, onAction }) {
    this.list = list;
    this.follower = new Follower(list, scroller);
    this.texts = texts;
    this.urls = urls;
    this.onAction = onAction;
    list.addEventListener("click", (event) => this.#pressed(event));
    list.addEventListener("submit", (event) => this.#saved(event));
    list.addEventListener("keydown", (event) => this.#typed(event));
  }

  /** @param {import("./state.js").Chat} chat */
  update(chat) {
    if (chat.turns.length > this.#views.size) this.follower.follow();
    const keys = new Set(chat.turns.map((turn) => turn.key));
    for (const [key, view] of this.#views) {
      if (keys.has(key)) continue;
      view.element.remove();
      this.#views.delete(key);
    }
    for (const [place, turn] of chat.turns.entries()) {
      const view = this.#viewOf(turn);
      view.update(turn);
      if (this.#resumed.has(turn.key)) view.edit(this.#resumed.get(turn.key));
      this.#resumed.delete(turn.key);
      if (turn.calls.length) view.offer(openCalls(chat, turn));
      const there = this.list.children[place];
      if (there !== view.element) this.list.insertBefore(view.element, there ?? null);
    }
    this.#focused?.focus();
    this.#focused = null;
  }

  /** What is half written in editors, by the key of its turn. @returns {[number, string][]} */
  get edits() {
    const edited = [...this.#views].filter(([, view]) => view.edited);
    return edited.map(([key, view]) => [key, view.draft]);
  }

  /** @param {[number, string][]} edits opened again once their turns are there */
  resume(edits) {
    this.#resumed = new Map(edits);
  }

  /** Takes what stands in open editors: what runs, and is paid for, is what one sees. */
  takeEdits() {
    for (const [key, view] of this.#views) {
      if (!view.editing) continue;
      view.close();
      this.onAction({ type: "edit", key, content: view.draft });
    }
  }

  /** @param {import("./state.js").Turn} turn */
  #viewOf(turn) {
    let view = this.#views.get(turn.key);
    if (!view) {
      view = new TurnView(this.texts, this.urls);
      this.#views.set(turn.key, view);
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
    else if (action === "probabilities") found.view.showProbabilities();
    else if (action === "up" || action === "down") this.#move(found.key, action, button);
    else if (action === "remove") this.#remove(found);
    else this.onAction({ type: action, key: found.key });
  }

  /**
   * @param {number} key
   * @param {"up" | "down"} direction
   * @param {Element} button
   */
  #move(key, direction, button) {
    this.#focused = /** @type {HTMLElement} */ (button);
    this.onAction({ type: "move", key, by: direction === "up" ? -1 : 1 });
  }

  /**
   * The focus goes to the turn that takes its place.
   * @param {{key: number, view: TurnView}} found
   */
  #remove({ key, view: { element } }) {
    const neighbour = element.nextElementSibling ?? element.previousElementSibling;
    this.#focused = neighbour?.querySelector("[data-action=remove]") ?? null;
    this.onAction({ type: "remove", key });
  }

  /** @param {Event} event */
  #saved(event) {
    event.preventDefault();
    const found = this.#find(event);
    if (!found) return;
    const form = /** @type {HTMLFormElement} */ (event.target);
    const { callId } = form.dataset;
    if (callId) {
      const content = /** @type {HTMLTextAreaElement} */ (form.querySelector("textarea")).value;
      this.onAction({ type: "answerCall", key: found.key, callId, content });
      return;
    }
    found.view.leave();
    this.onAction({ type: "edit", key: found.key, content: found.view.draft });
  }

  /** @param {KeyboardEvent} event */
  #typed(event) {
    const found = this.#find(event);
    if (event.key !== "Escape" || event.isComposing || !found?.view.editing) return;
    event.stopPropagation();
    found.view.rest();
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
