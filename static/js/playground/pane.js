// One pane: a chat or a completion with settings of its own. Several stand side by side; what they
// share (socket, mode, variables) is the desk's.
import { confirmed } from "../confirmed.js";
import { ChatView } from "./chat-view.js";
import { count, fill } from "./format.js";
import { showBalance } from "./notice.js";
import { findAnswer } from "./recovery.js";
import { runFrame } from "./request.js";
import { emptyChat, isWritten, openCalls, runningTurns } from "./state.js";
import { ChatStore } from "./store.js";

const ANNOUNCED_CHARS = 1_000;

/**
 * What a pane needs of the page.
 * @typedef {object} Desk
 * @property {"chat" | "completion"} mode
 * @property {boolean} mayRun
 * @property {Record<string, string>} variables
 * @property {Record<string, string>} texts
 * @property {Record<string, string>} urls
 * @property {Record<string, any>} data of the page
 * @property {(frame: Record<string, any>) => boolean} send
 * @property {(sentence: string) => void} announce
 * @property {(pane: Pane) => void} changed
 * @property {() => void} ended a run of a pane, however it ended
 * @property {(pane: Pane, action: string) => void} pressed
 * @property {(pane: Pane) => boolean} ready whether its settings can be sent
 */

/** @typedef {import("./state.js").Chat} Chat */

/**
 * What is kept of a pane over a reload.
 * @typedef {object} Kept
 * @property {import("./request.js").Settings} settings
 * @property {string} text
 * @property {[number, string][]} edits
 * @property {{chat: Chat, completion: Chat}} chats
 */

export class Pane {
  /** What it says in each mode: a look at the other one loses nothing. */
  stores = { chat: new ChatStore(), completion: new ChatStore() };
  /** The answer that the text ends with. @type {import("./state.js").Turn | null} */
  #shown = null;

  /**
   * @param {Desk} desk
   * @param {import("./request.js").Settings} settings
   */
  constructor(desk, settings) {
    this.desk = desk;
    const template = /** @type {HTMLTemplateElement} */ (document.getElementById("pane-template"));
    this.element = /** @type {HTMLElement} */ (
      /** @type {Element} */ (template.content.firstElementChild).cloneNode(true)
    );
    this.text = /** @type {HTMLTextAreaElement} */ (this.element.querySelector("[data-continued]"));
    const list = /** @type {HTMLElement} */ (this.element.querySelector(".turns"));
    this.view = new ChatView(list, {
      texts: desk.texts,
      urls: desk.urls,
      scroller: () => (this.element.matches(".beside") ? this.element : document.documentElement),
      onAction: (action) => this.#act(action),
    });
    this.asks = settings;
    this.settings = settings;
    for (const store of Object.values(this.stores)) {
      store.subscribe((chat) => store === this.store && this.#show(chat));
    }
    this.element.addEventListener("click", (event) => this.#pressed(event));
    this.text.addEventListener("input", () => desk.pressed(this, "typed"));
    this.element.addEventListener("focusin", () => desk.pressed(this, "focus"));
  }

  get store() {
    return this.stores[this.desk.mode];
  }

  /** @param {import("./request.js").Settings} settings */
  set settings(settings) {
    this.asks = settings;
    /** @type {HTMLElement} */ (this.element.querySelector("[data-pane-model]")).textContent =
      settings.model;
  }

  get settings() {
    return this.asks;
  }

  /** Whether there is something to answer, or to continue. */
  get hasQuestion() {
    if (this.desk.mode === "completion") return this.text.value !== "";
    return ["user", "tool"].includes(this.store.chat.turns.at(-1)?.role ?? "");
  }

  get running() {
    return runningTurns(this.store.chat).length > 0;
  }

  get conversation() {
    return this.store.chat.conversation;
  }

  /** Everything that may name a variable. */
  get texts() {
    const said = this.store.chat.turns.filter(isWritten).map(({ content }) => content);
    return [this.asks.system, this.text.value, ...said];
  }

  /**
   * @param {number} [key] the turn to begin again from
   * @returns {boolean} whether it runs
   */
  run(key) {
    if (this.running || !this.desk.mayRun || !this.desk.ready(this)) return false;
    const { mode, texts } = this.desk;
    this.view.takeEdits();
    if (mode === "completion" && key === undefined) {
      this.store.apply({ type: "prompt", content: this.text.value });
    }
    // Not `randomUUID`, which a page has only by https or of its own machine.
    const id = `run-${crypto.getRandomValues(new Uint32Array(4)).join("-")}`;
    this.store.apply({ type: "begin", runId: id, key });
    const frame = this.frame(id);
    if (this.#isTooLong(frame)) return true;
    if (this.desk.send(frame)) this.desk.announce(texts.answering);
    else this.store.apply({ type: "lost", note: texts.lost_before });
    return true;
  }

  /**
   * Whether it is; then the turn says so: the server could not tell whose frame it refuses.
   * @param {Record<string, any>} frame
   */
  #isTooLong(frame) {
    const [size, most] = [new Blob([JSON.stringify(frame)]).size, this.desk.data.max_frame_bytes];
    if (size <= most) return false;
    const [is, fits] = [Math.ceil(size / 1024), Math.floor(most / 1024)].map(count);
    const message = fill(this.desk.texts.too_long, { size: is, most: fits });
    this.store.apply({ type: "error", id: frame.id, error: { message, code: null, status: 413 } });
    return true;
  }

  /**
   * @param {string} id
   * @param {import("./state.js").Turn[]} [turns] other ones than its own
   */
  frame(id, turns) {
    const { chat } = this.store;
    const { mode, variables } = this.desk;
    const kept = turns ? {} : { conversation: chat.conversation, latest: chat.latest };
    const asked = { id, mode, settings: this.asks, turns: turns ?? chat.turns, variables };
    return runFrame({ ...asked, ...kept });
  }

  /** A completion once more, from the same text. */
  again() {
    const [prompt] = this.store.chat.turns;
    if (prompt && !this.running) this.run(prompt.key);
  }

  /** The text as it was before it was continued. */
  takeBack() {
    const [prompt, answer] = this.store.chat.turns;
    if (!prompt || !answer || this.running) return;
    this.text.value = prompt.content;
    this.store.apply({ type: "prompt", content: prompt.content });
    this.text.focus();
  }

  stop() {
    for (const { chat } of Object.values(this.stores)) {
      for (const turn of runningTurns(chat)) this.desk.send({ type: "cancel", id: turn.runId });
    }
  }

  clear() {
    this.stop();
    this.store.apply({ type: "clear" });
    if (this.desk.mode === "completion") this.text.value = "";
  }

  /** Shows what it says in the mode that was chosen; what ran in the other one ends. */
  turn() {
    this.stop();
    this.view.update(emptyChat());
    this.#show(this.store.chat);
  }

  /** @param {Record<string, any>} conversation as the server keeps it */
  load(conversation) {
    this.store.apply({ type: "load", conversation });
    if (this.desk.mode === "completion") {
      this.text.value = this.store.chat.turns.map((turn) => turn.content).join("");
    }
    const system = conversation.messages.find(
      (/** @type {{role: string}} */ message) => message.role === "system",
    );
    this.settings = {
      model: conversation.model,
      system: system?.content ?? "",
      parameters: conversation.parameters,
    };
  }

  /**
   * As it was before a reload, which ended what ran.
   * @param {Kept} kept
   */
  restore({ settings, text, edits, chats }) {
    this.settings = settings;
    this.view.resume(edits);
    this.text.value = text;
    this.#shown = chats.completion.turns[1] ?? null;
    this.stores.chat.apply({ type: "restore", chat: chats.chat });
    this.stores.completion.apply({ type: "restore", chat: chats.completion });
    this.lost();
  }

  /** @param {Record<string, any>} frame of one of its runs, or of another pane's */
  hear(frame) {
    for (const store of Object.values(this.stores)) this.#hear(frame, store);
  }

  /**
   * @param {Record<string, any>} frame
   * @param {ChatStore} store
   */
  #hear(frame, store) {
    const { conversation, turns } = store.chat;
    const turn = turns.find((each) => each.runId === frame.id);
    store.apply(frame);
    if (turn && conversation && (frame.conversation ?? conversation) !== conversation) {
      store.apply({ type: "remark", key: turn.key, note: this.desk.texts.branched });
    }
    if (!turn || !(frame.type === "finished" || frame.type === "error")) return;
    const text = turn.content.slice(0, ANNOUNCED_CHARS);
    if (frame.type === "finished") this.desk.announce(fill(this.desk.texts.answered, { text }));
    this.desk.ended();
  }

  /** The server stops when the connection goes; ask it what it kept and billed. */
  lost() {
    for (const store of Object.values(this.stores)) {
      const running = runningTurns(store.chat);
      store.apply({ type: "lost", note: this.desk.texts.lost_running });
      for (const turn of running) void this.#recover(store, turn);
    }
  }

  /**
   * @param {ChatStore} store
   * @param {import("./state.js").Turn} turn
   */
  async #recover(store, { requestId, key }) {
    const { texts, urls } = this.desk;
    if (requestId === "") {
      store.apply({ type: "note", key, note: texts.lost_before });
      return;
    }
    const kept = await findAnswer(`${urls.answers}${encodeURIComponent(requestId)}/`);
    if (kept) store.apply({ type: "found", requestId, ...kept, note: texts.lost_found });
    else store.apply({ type: "note", key, note: texts.lost_unknown });
    if (!kept) return;
    showBalance(kept.summary.balance_nanos);
    this.desk.ended();
  }

  /** @param {Record<string, any>} action */
  #act(action) {
    // An edit is taken at any time, or what was typed would be lost.
    if (action.type !== "again") this.store.apply(action);
    else void this.#runAgain(action.key);
    if (action.type === "answerCall") this.#goOn(action.key);
  }

  /**
   * An answer is had again; what a person wrote after it is not.
   * @param {number} key the turn to begin again from
   */
  async #runAgain(key) {
    if (this.running) return;
    const { turns } = this.store.chat;
    const following = turns.slice(turns.findIndex((turn) => turn.key === key) + 1);
    const { drop_following: question, run_again: yes } = this.desk.texts;
    if (!following.some(isWritten) || (await confirmed(question, yes))) this.run(key);
  }

  /**
   * When all calls of a turn are answered, the model has the word.
   * @param {number} key
   */
  #goOn(key) {
    const { chat } = this.store;
    const turn = chat.turns.find((each) => each.key === key);
    if (turn && openCalls(chat, turn).length === 0) this.run();
  }

  /** @param {Event} event */
  #pressed(event) {
    const button = /** @type {Element} */ (event.target).closest("[data-pane]");
    if (button) this.desk.pressed(this, /** @type {HTMLElement} */ (button).dataset.pane ?? "");
  }

  /** @param {import("./state.js").Chat} chat */
  #show(chat) {
    this.element.dataset.mode = this.desk.mode;
    this.element.dataset.running = String(this.running);
    if (this.desk.mode === "completion") this.#showText(chat);
    this.view.update(chat);
    this.desk.changed(this);
  }

  /** @param {import("./state.js").Chat} chat */
  #showText({ turns: [prompt, answer] }) {
    this.text.readOnly = this.running;
    if (!prompt || !answer || answer === this.#shown) return;
    this.#shown = answer;
    if (answer.status !== "still") this.text.value = prompt.content + answer.content;
    if (this.running) this.text.scrollTop = this.text.scrollHeight;
  }
}
