// The playground's page: puts socket, panes and views together. Each part knows nothing of the
// others; what connects them is here.
import { CodeDialog } from "./code-dialog.js";
import { commandsOf } from "./commands.js";
import { balance, dollars } from "./format.js";
import { GalleryView } from "./gallery-view.js";
import { HistoryView } from "./history-view.js";
import { Palette } from "./palette.js";
import { MOST_PANES, Panes } from "./panes.js";
import { PresetsView } from "./presets-view.js";
import { messagesOf } from "./request.js";
import { SettingsView } from "./settings-view.js";
import { ShareDialog } from "./share-dialog.js";
import { PlaygroundSocket } from "./socket.js";
import { VariablesView } from "./variables-view.js";

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
  urls = {
    requests: this.data.requests_url,
    billing: this.data.billing_url,
    answers: this.data.answers_url,
  };
  root = element("playground");
  composer = element("composer").querySelector("textarea");
  /** Another organisation would pay than the one this page speaks of. */
  #stale = false;
  #notice = "";

  constructor() {
    const { texts, data } = this;
    const csrf = document.querySelector("[name=csrfmiddlewaretoken]")?.getAttribute("value") ?? "";
    this.settings = new SettingsView({
      panel: element("settings"),
      model: element("model"),
      price: element("price"),
      texts,
      onChange: () => this.#settingsChanged(),
    });
    this.table = new VariablesView(element("variables"));
    const first = { model: element("model").value, system: "", parameters: {} };
    this.panes = new Panes(element("panes"), this, first);
    this.code = new CodeDialog(element("code-dialog"), { url: data.code_url, csrf, texts });
    this.history = new HistoryView(element("history"), {
      url: data.conversations_url,
      csrf,
      onDeleted: (id) => this.#deleted(id),
    });
    this.presets = new PresetsView(element("presets-dialog"), {
      url: data.presets_url,
      texts,
      content: () => this.#presetContent(),
      onOpen: (content) => this.#open(content),
    });
    this.share = new ShareDialog(element("share-dialog"), {
      conversations: data.conversations_url,
      snapshots: data.snapshots_url,
      texts,
    });
    this.palette = new Palette(element("palette"), () => commandsOf(this));
    this.gallery = new GalleryView(element("gallery"), data.gallery, (example) =>
      this.fill(example),
    );
    this.socket = new PlaygroundSocket({
      url: `${location.protocol.replace("http", "ws")}//${location.host}/ws/playground/`,
      onFrame: (frame) => this.#hear(frame),
      onState: (state) => this.#connectionIs(state),
    });
  }

  start() {
    this.settings.modeIs(this.mode);
    if (this.data.conversation) this.#open(this.data.conversation);
    else this.settings.show(this.panes.active.settings);
    this.#modeIs();
    this.#listen();
    this.history.mark(this.panes.active.conversation);
    this.socket.connect();
    // Where there is no keyboard, focus would cover half of the page with one.
    if (matchMedia("(hover: hover)").matches) this.#focus();
  }

  #listen() {
    element("composer-form").addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this.#submit();
    });
    element("add").addEventListener("click", () => this.#addMessage());
    element("stop").addEventListener("click", () => this.#stop());
    element("again").addEventListener("click", () => this.panes.active.again());
    element("take-back").addEventListener("click", () => this.panes.active.takeBack());
    element("compare").addEventListener("click", () => this.compare());
    element("new-chat").addEventListener("click", () => this.startAfresh());
    element("view-code").addEventListener("click", () => this.viewCode());
    element("presets").addEventListener("click", () => void this.presets.show());
    element("share").addEventListener("click", () => this.shareIt());
    element("open-palette").addEventListener("click", () => this.palette.toggle());
    element("empty").addEventListener("click", (/** @type {Event} */ event) =>
      this.#suggest(event),
    );
    element("mode").addEventListener("change", () => this.startAfresh());
    this.composer.addEventListener("input", () => this.#look());
    window.addEventListener("online", () => this.socket.retry());
    document.addEventListener("keydown", (event) => this.#keyed(event));
  }

  // --- What panes need of the page ----------------------------------------------------------------

  /** @returns {"chat" | "completion"} */
  get mode() {
    return element("mode").querySelector("input:checked").value;
  }

  get mayRun() {
    return this.socket.state === "ready" && !this.#stale;
  }

  get variables() {
    return this.table.values;
  }

  /** @param {Record<string, any>} frame */
  send(frame) {
    return this.socket.send(frame);
  }

  /** @param {string} sentence */
  announce(sentence) {
    element("announcer").textContent = sentence;
  }

  /**
   * Whether its settings can be sent; puts the cursor where they cannot.
   * @param {import("./pane.js").Pane} pane
   */
  ready(pane) {
    if (pane !== this.panes.active || this.settings.read() !== null) return true;
    this.settings.focusWrong();
    return false;
  }

  changed() {
    this.#showRunning();
    this.#look();
  }

  /** @param {import("./pane.js").Pane} pane */
  ended({ conversation }) {
    if (!conversation) return;
    if (this.panes.list.length === 1) {
      history.replaceState(null, "", `?conversation=${encodeURIComponent(conversation)}`);
    }
    void this.history.refresh(this.panes.active.conversation);
  }

  /**
   * @param {import("./pane.js").Pane} pane
   * @param {string} action
   */
  pressed(pane, action) {
    if (action === "typed") this.#typed(pane);
    else if (action === "close") this.#close(pane);
    else if (action === "stop") pane.stop();
    else if (action === "run") this.#submit([pane]);
    else if (action === "focus" || action === "settings") {
      this.#activate(pane);
      if (action === "settings") this.settings.open();
    }
  }

  // --- What a person does ------------------------------------------------------------------------

  /** @param {KeyboardEvent} event */
  #keyed(event) {
    const withControl = event.ctrlKey || event.metaKey;
    const writes = /** @type {Element} */ (event.target).closest("input, textarea, select");
    if (event.key === "Enter" && withControl) this.#submitByKey(event);
    else if (event.key.toLowerCase() === "k" && withControl) {
      event.preventDefault();
      this.palette.toggle();
    } else if (event.key === "?" && !writes && !document.querySelector("dialog:modal")) {
      element("keys-dialog").showModal();
    } else if (event.key === "Escape" && !event.defaultPrevented) this.#escaped();
  }

  /** @param {KeyboardEvent} event */
  #submitByKey(event) {
    const target = /** @type {Element} */ (event.target);
    const form = target.closest("form[data-editor], form[data-call-id]");
    if (form) return /** @type {HTMLFormElement} */ (form).requestSubmit();
    if (!document.querySelector("dialog:modal")) this.#submit();
  }

  #escaped() {
    if (!document.querySelector("dialog:modal")) this.#stop();
  }

  /** The panes that what is written below is for. */
  get #addressed() {
    const { list, active } = this.panes;
    return list.length === 1 || !element("synchronised").checked ? [active] : list;
  }

  /** @param {import("./pane.js").Pane[]} [panes] */
  #submit(panes = this.#addressed) {
    const idle = panes.filter((pane) => !pane.running);
    if (!this.mayRun || !idle.length || !idle.every((pane) => this.ready(pane))) return;
    const text = this.composer.value;
    const writes = this.mode === "chat" && text.trim() !== "";
    if (!writes && idle.some((pane) => !this.#hasQuestion(pane))) {
      this.#complain(this.texts.no_message);
      this.#focus();
      return;
    }
    this.#complain("");
    this.composer.value = "";
    for (const pane of idle) {
      if (writes) pane.store.apply({ type: "say", content: text });
      pane.run();
    }
  }

  /** @param {import("./pane.js").Pane} pane */
  #hasQuestion(pane) {
    if (this.mode === "completion") return pane.text.value !== "";
    return ["user", "tool"].includes(pane.store.chat.turns.at(-1)?.role ?? "");
  }

  /** What is written becomes a message, and nothing runs: its role and place can be changed then. */
  #addMessage() {
    const content = this.composer.value;
    if (content.trim() === "") return this.#complain(this.texts.no_message);
    for (const pane of this.#addressed) {
      const last = pane.store.chat.turns.at(-1);
      pane.store.apply({ type: "say", content, role: last?.role === "user" ? "assistant" : "user" });
    }
    this.composer.value = "";
    this.#complain("");
    this.#focus();
  }

  #stop() {
    for (const pane of this.panes.running) pane.stop();
  }

  compare() {
    if (this.panes.list.length >= MOST_PANES || !this.ready(this.panes.active)) return;
    const pane = this.panes.add(structuredClone(this.panes.active.settings));
    pane.text.value = this.panes.active.text.value;
    this.#activate(pane);
    this.#modeIs();
    this.settings.model.focus();
  }

  /** @param {import("./pane.js").Pane} pane */
  #close(pane) {
    this.panes.remove(pane);
    this.settings.show(this.panes.active.settings);
    this.#modeIs();
    this.#focus();
  }

  /** @param {import("./pane.js").Pane} pane */
  #activate(pane) {
    if (pane === this.panes.active || !this.ready(this.panes.active)) return;
    this.panes.activate(pane);
    this.settings.show(pane.settings);
    this.history.mark(pane.conversation);
    this.#showRunning();
  }

  #settingsChanged() {
    this.#complain("");
    const settings = this.settings.read();
    if (settings) this.panes.active.settings = settings;
    this.#look();
  }

  /** @param {import("./pane.js").Pane} pane where a text to continue was written */
  #typed(pane) {
    if (element("synchronised").checked) {
      for (const other of this.panes.list) {
        if (other !== pane && !other.running) other.text.value = pane.text.value;
      }
    }
    this.#look();
  }

  startAfresh() {
    for (const pane of this.panes.list) pane.clear();
    history.replaceState(null, "", location.pathname);
    this.history.mark("");
    this.#modeIs();
    this.#focus();
  }

  /** @param {string} id */
  #deleted(id) {
    for (const pane of this.panes.list) {
      if (pane.conversation === id) pane.clear();
    }
    if (this.panes.list.length === 1) history.replaceState(null, "", location.pathname);
  }

  /** @param {Record<string, any>} conversation as the server keeps it */
  #open(conversation) {
    element("mode").querySelector(`input[value=${conversation.mode}]`).checked = true;
    this.settings.modeIs(conversation.mode);
    this.panes.active.load(conversation);
    this.settings.show(this.panes.active.settings);
    if (conversation.variables) this.table.set(conversation.variables);
    this.#settingsChanged();
    this.#modeIs();
  }

  #modeIs() {
    const { mode } = this;
    this.root.dataset.mode = mode;
    this.root.toggleAttribute("data-comparing", this.panes.list.length > 1);
    element("compare").disabled = this.panes.list.length >= MOST_PANES;
    this.settings.modeIs(mode);
    for (const pane of this.panes.list) pane.element.dataset.mode = mode;
    this.#showRunning();
    this.#look();
  }

  #focus() {
    const place = this.mode === "completion" ? this.panes.active.text : this.composer;
    place.focus({ preventScroll: true });
  }

  /** @param {Event} event */
  #suggest(event) {
    const starter = /** @type {Element} */ (event.target).closest("[data-starter]");
    if (!starter) return;
    this.composer.value = starter.textContent?.trim();
    this.#submit();
  }

  viewCode() {
    const pane = this.panes.active;
    if (!this.ready(pane)) return;
    void this.code.show(pane.frame("code", this.#shownTurns(pane)));
  }

  shareIt() {
    void this.share.show(this.panes.active.conversation);
  }

  /** What a preset keeps of the pane at hand, or null when it cannot be sent. */
  #presetContent() {
    const settings = this.settings.read();
    if (settings === null) {
      this.presets.dialog.close();
      this.settings.focusWrong();
      return null;
    }
    const { mode, variables, panes } = this;
    const messages = messagesOf(this.#shownTurns(panes.active, ""), settings.system);
    const { model, parameters } = settings;
    return { mode, model, messages, parameters, variables };
  }

  /**
   * Fills in a ready preset; nothing runs yet.
   * @param {Record<string, any>} example
   */
  fill({ text, system, parameters, variables }) {
    element("mode").querySelector("input[value=chat]").checked = true;
    this.startAfresh();
    const { model } = this.panes.active.settings;
    this.settings.show({ model, system, parameters });
    this.table.set(variables);
    this.composer.value = text;
    this.#settingsChanged();
    this.#focus();
  }

  /**
   * What would be sent now, or an example of it.
   * @param {import("./pane.js").Pane} pane
   * @param {string} example empty: none, and a last answer stays
   * @returns {any[]}
   */
  #shownTurns(pane, example = "Hello!") {
    /** @param {string} content */
    const said = (content) => ({ role: "user", content, calls: [], callId: "" });
    if (this.mode === "completion") return [said(pane.text.value || example)];
    const { turns } = pane.store.chat;
    const draft = this.composer.value;
    const all = draft.trim() === "" ? turns : [...turns, said(draft)];
    const shown = all.length || !example ? all : [said(example)];
    return example && shown.at(-1)?.role === "assistant" ? shown.slice(0, -1) : shown;
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
      this.#showRunning();
      return;
    }
    if (frame.type === "error" && frame.id === undefined) {
      this.#noticeIs(frame.error.message);
      return;
    }
    if (frame.error?.param) this.settings.structure.complain(frame.error.param, frame.error.message);
    if (frame.summary) this.balanceIs(frame.summary.balance_nanos);
    for (const pane of this.panes.list) pane.hear(frame);
  }

  /** @param {import("./socket.js").Connection} state */
  #connectionIs(state) {
    this.root.dataset.connection = state;
    this.#noticeIs(state === "ready" ? this.#notice : this.texts[state]);
    if (state === "signed-out") this.#offerSignIn();
    if (state !== "ready") for (const pane of this.panes.list) pane.lost();
    this.#showRunning();
  }

  #offerSignIn() {
    const link = document.createElement("a");
    link.href = location.href; // the server asks for a sign-in and leads back here
    link.textContent = this.texts.sign_in;
    element("notice").append(" ", link);
  }

  // --- What is shown -----------------------------------------------------------------------------

  #look() {
    this.table.look([this.composer.value, ...this.panes.list.flatMap((pane) => pane.texts)]);
    const { list, active } = this.panes;
    const isEmpty = list.every((pane) => pane.store.chat.turns.length === 0);
    element("empty").hidden = !isEmpty || this.mode === "completion" || list.length > 1;
    const continued = this.mode === "completion" && active.store.chat.turns.length > 1;
    element("again").hidden = element("take-back").hidden = !continued || active.running;
  }

  #showRunning() {
    const addressed = this.#addressed;
    element("run").hidden = addressed.every((pane) => pane.running);
    element("run").disabled = !this.mayRun;
    element("stop").hidden = this.panes.running.length === 0;
  }

  /** @param {string} sentence */
  #noticeIs(sentence) {
    if (this.socket.state === "ready") this.#notice = sentence;
    element("notice").textContent = sentence;
    element("notice").hidden = sentence === "";
  }

  /** @param {number} nanos */
  balanceIs(nanos) {
    for (const place of document.querySelectorAll("[data-balance]")) {
      place.textContent = balance(nanos);
      place.setAttribute("title", dollars(nanos));
    }
  }
}

new Playground().start();
