// The playground's page: puts store, socket and views together. Each part knows nothing of the
// others; what connects them is here.
import { ChatView } from "./chat-view.js";
import { CodeDialog } from "./code-dialog.js";
import { balance, dollars, fill } from "./format.js";
import { HistoryView } from "./history-view.js";
import { ParametersView } from "./parameters-view.js";
import { findAnswer } from "./recovery.js";
import { runFrame } from "./request.js";
import { PlaygroundSocket } from "./socket.js";
import { runningTurns } from "./state.js";
import { ChatStore } from "./store.js";

const ANNOUNCED_CHARS = 1_000;

/**
 * @param {string} id
 * @returns {any}
 */
function element(id) {
  return document.getElementById(id);
}

class Playground {
  data = JSON.parse(element("playground-data").textContent);
  texts = this.data.texts;
  csrf = document.querySelector("[name=csrfmiddlewaretoken]")?.getAttribute("value") ?? "";
  root = element("playground");
  model = element("model");
  composer = element("composer").querySelector("textarea");
  store = new ChatStore();
  #runs = 0;
  /** Another organisation would pay than the one this page speaks of. */
  #stale = false;
  #notice = "";

  constructor() {
    const { texts, csrf } = this;
    const urls = { requests: this.data.requests_url, billing: this.data.billing_url };
    this.view = new ChatView(element("turns"), {
      texts,
      urls,
      onAction: (action) => this.#act(action),
    });
    this.parameters = new ParametersView(element("parameters"), {
      texts,
      onChange: () => this.#complain(""),
    });
    this.code = new CodeDialog(element("code-dialog"), { url: this.data.code_url, csrf, texts });
    this.history = new HistoryView(element("history"), {
      url: this.data.conversations_url,
      csrf,
      onDeleted: (id) => id === this.store.chat.conversation && this.#startAfresh(),
    });
    this.socket = new PlaygroundSocket({
      url: `${location.protocol.replace("http", "ws")}//${location.host}/ws/playground/`,
      onFrame: (frame) => this.#hear(frame),
      onState: (state) => this.#connectionIs(state),
    });
    this.store.subscribe((chat) => this.#show(chat));
  }

  start() {
    if (this.data.conversation) {
      this.store.apply({ type: "load", conversation: this.data.conversation });
      this.parameters.set(this.data.conversation.parameters);
      const system = this.data.conversation.messages.find((message) => message.role === "system");
      element("system").value = system?.content ?? "";
    }
    this.#listen();
    this.#showPrice();
    this.history.mark(this.store.chat.conversation);
    this.socket.connect();
    // Where there is no keyboard, focus would cover half of the page with one.
    if (matchMedia("(hover: hover)").matches) this.composer.focus({ preventScroll: true });
  }

  #listen() {
    element("composer-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    element("stop").addEventListener("click", () => this.#stop());
    element("new-chat").addEventListener("click", () => this.#startAfresh());
    element("view-code").addEventListener("click", () => this.#viewCode());
    element("empty").addEventListener("click", (event) => this.#suggest(event));
    this.model.addEventListener("change", () => this.#showPrice());
    window.addEventListener("online", () => this.socket.retry());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#submitByKey(event);
      else if (event.key === "Escape" && !event.defaultPrevented) this.#escaped();
    });
  }

  // --- What a person does ------------------------------------------------------------------------

  /** @param {KeyboardEvent} event */
  #submitByKey(event) {
    const form = /** @type {Element} */ (event.target).closest("form[data-editor]");
    if (form) return /** @type {HTMLFormElement} */ (form).requestSubmit();
    if (!element("code-dialog").open) this.#submit();
  }

  #escaped() {
    if (!element("code-dialog").open) this.#stop();
  }

  #submit() {
    const text = this.composer.value;
    const turns = this.store.chat.turns;
    if (runningTurns(this.store.chat).length || !this.#mayRun) return;
    if (text.trim() === "" && turns.at(-1)?.role !== "user") {
      this.#complain(this.texts.no_message);
      this.composer.focus();
      return;
    }
    if (this.#parametersOrComplain() === null) return;
    if (text.trim() !== "") this.store.apply({ type: "say", content: text });
    this.composer.value = "";
    this.#run();
  }

  /** @param {number} [key] the turn to begin again from */
  #run(key) {
    const parameters = this.#parametersOrComplain();
    if (parameters === null || !this.#mayRun) return;
    this.#runs += 1;
    const id = `run-${this.#runs}-${Date.now().toString(36)}`;
    this.store.apply({ type: "begin", runId: id, key });
    const { turns, conversation } = this.store.chat;
    const frame = runFrame({ ...this.#settings(), id, parameters, turns, conversation });
    if (this.socket.send(frame)) this.#announce(this.texts.answering);
    else this.store.apply({ type: "lost", note: this.texts.lost_before });
  }

  #stop() {
    for (const turn of runningTurns(this.store.chat)) {
      this.socket.send({ type: "cancel", id: turn.runId });
    }
  }

  /** @param {Record<string, any>} action */
  #act(action) {
    // An edit is taken at any time, or what was typed would be lost.
    if (action.type !== "again") this.store.apply(action);
    else if (runningTurns(this.store.chat).length === 0) this.#run(action.key);
  }

  #startAfresh() {
    this.#stop();
    this.store.apply({ type: "clear" });
    history.replaceState(null, "", location.pathname);
    this.history.mark("");
    this.composer.focus();
  }

  /** @param {Event} event */
  #suggest(event) {
    const starter = /** @type {Element} */ (event.target).closest("[data-starter]");
    if (!starter) return;
    this.composer.value = starter.textContent.trim();
    this.#submit();
  }

  #viewCode() {
    const parameters = this.#parametersOrComplain();
    if (parameters === null) return;
    const { turns } = this.store.chat;
    const draft = this.composer.value;
    const said = draft.trim() === "" ? turns : [...turns, { role: "user", content: draft }];
    const shown = said.length ? said : [{ role: "user", content: "Hello!" }];
    const upToQuestion = shown.at(-1).role === "assistant" ? shown.slice(0, -1) : shown;
    void this.code.show(
      runFrame({ ...this.#settings(), id: "code", parameters, turns: upToQuestion }),
    );
  }

  get #mayRun() {
    return this.socket.state === "ready" && !this.#stale;
  }

  #settings() {
    return { model: this.model.value, system: element("system").value };
  }

  #parametersOrComplain() {
    const { values } = this.parameters;
    if (values === null) {
      if (element("settings").matches(":not(:popover-open)")) element("settings").showPopover?.();
      this.parameters.focusWrong();
    }
    return values;
  }

  /** @param {string} problem */
  #complain(problem) {
    element("composer-error").textContent = problem;
  }

  // --- What the server says ----------------------------------------------------------------------

  /** @param {Record<string, any>} frame */
  #hear(frame) {
    if (frame.type === "ready") {
      this.#stale = frame.organisation !== this.data.organisation;
      this.#noticeIs(this.#stale ? this.texts.organisation_changed : "");
      this.#showRunning(this.store.chat);
      return;
    }
    if (frame.type === "error" && frame.id === undefined) {
      this.#noticeIs(frame.error.message);
      return;
    }
    const ended = frame.type === "finished" || frame.type === "error";
    this.store.apply(frame);
    if (frame.summary) this.#showBalance(frame.summary.balance_nanos);
    if (ended) this.#ended(frame);
  }

  /** @param {Record<string, any>} frame */
  #ended(frame) {
    const turn = this.store.chat.turns.find((each) => each.runId === frame.id);
    const text = (turn?.content ?? "").slice(0, ANNOUNCED_CHARS);
    if (frame.type === "finished") this.#announce(fill(this.texts.answered, { text }));
    const { conversation } = this.store.chat;
    if (!conversation) return;
    history.replaceState(null, "", `?conversation=${encodeURIComponent(conversation)}`);
    void this.history.refresh(conversation);
  }

  /** @param {import("./socket.js").Connection} state */
  #connectionIs(state) {
    this.root.dataset.connection = state;
    this.#noticeIs(state === "ready" ? this.#notice : this.texts[state]);
    if (state === "signed-out") this.#offerSignIn();
    if (state !== "ready") this.#lost();
    this.#showRunning(this.store.chat);
  }

  #offerSignIn() {
    const link = document.createElement("a");
    link.href = location.href; // the server asks for a sign-in and leads back here
    link.textContent = this.texts.sign_in;
    element("notice").append(" ", link);
  }

  /** The server stops when the connection goes; ask it what it kept and billed. */
  #lost() {
    const running = runningTurns(this.store.chat);
    this.store.apply({ type: "lost", note: this.texts.lost_running });
    for (const turn of running) void this.#recover(turn);
  }

  /** @param {import("./state.js").Turn} turn */
  async #recover({ requestId, key }) {
    if (requestId === "") {
      this.store.apply({ type: "note", key, note: this.texts.lost_before });
      return;
    }
    const kept = await findAnswer(`${this.data.answers_url}${encodeURIComponent(requestId)}/`);
    if (kept) this.store.apply({ type: "found", requestId, ...kept, note: this.texts.lost_found });
    else this.store.apply({ type: "note", key, note: this.texts.lost_unknown });
    if (kept) this.#showBalance(kept.summary.balance_nanos);
  }

  // --- What is shown -----------------------------------------------------------------------------

  /** @param {import("./state.js").Chat} chat */
  #show(chat) {
    element("empty").hidden = chat.turns.length > 0;
    this.view.update(chat);
    this.#showRunning(chat);
  }

  /** @param {import("./state.js").Chat} chat */
  #showRunning(chat) {
    const running = runningTurns(chat).length > 0;
    element("run").hidden = running;
    element("run").disabled = !this.#mayRun;
    element("stop").hidden = !running;
  }

  /** @param {string} sentence */
  #noticeIs(sentence) {
    if (this.socket.state === "ready") this.#notice = sentence;
    element("notice").textContent = sentence;
    element("notice").hidden = sentence === "";
  }

  /** @param {number} nanos */
  #showBalance(nanos) {
    for (const place of document.querySelectorAll("[data-balance]")) {
      place.textContent = balance(nanos);
      place.setAttribute("title", dollars(nanos));
    }
  }

  #showPrice() {
    const chosen = this.model.selectedOptions[0];
    const price = chosen ? fill(this.texts.price, { ...chosen.dataset }) : "";
    element("price").textContent = this.model.title = price;
  }

  /** @param {string} sentence */
  #announce(sentence) {
    element("announcer").textContent = sentence;
  }
}

new Playground().start();
