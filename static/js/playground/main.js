// The playground's page: puts socket, panes and views together. Each part knows nothing of the
// others; what connects them is here.
import { nameInAddress, nameNothing } from "./address.js";
import { CodeDialog } from "./code-dialog.js";
import { commandsOf } from "./commands.js";
import { presetOf, turnsToSend } from "./draft.js";
import { element } from "./element.js";
import { FocusKeeper } from "./focus.js";
import { fill as fillIn } from "./format.js";
import { GalleryView } from "./gallery-view.js";
import { HistoryView } from "./history-view.js";
import { listenToKeys } from "./keys.js";
import { Notice, showBalance } from "./notice.js";
import { offer } from "./offers.js";
import { beginAnew, fill, learnSaved, mayClose, open, openPreset } from "./opening.js";
import { Palette } from "./palette.js";
import { MOST_PANES, Panes } from "./panes.js";
import { PresetsView } from "./presets-view.js";
import { keepOverReload, restored } from "./reload.js";
import { SettingsView } from "./settings-view.js";
import { ShareDialog } from "./share-dialog.js";
import { PlaygroundSocket, whenItMayHaveDied } from "./socket.js";
import { VariablesView } from "./variables-view.js";

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

  constructor() {
    const { texts, data } = this;
    this.settings = new SettingsView({
      panel: element("settings"),
      model: element("model"),
      price: element("price"),
      texts,
      onChange: () => this.settingsChanged(),
    });
    this.keeper = new FocusKeeper(element("composer-form").parentElement, () => this.focus());
    this.notice = new Notice(element("notice"), texts);
    this.table = new VariablesView(element("variables"));
    const model = new URLSearchParams(location.search).get("model") || element("model").value;
    const first = { model, system: "", parameters: {} };
    this.panes = new Panes(element("panes"), this, first);
    this.code = new CodeDialog(element("code-dialog"), { url: data.code_url, texts });
    this.history = new HistoryView(element("history"), {
      url: data.conversations_url,
      texts,
      onDeleted: (id) => this.#deleted(id),
    });
    this.presets = new PresetsView(element("presets-dialog"), {
      url: data.presets_url,
      texts,
      content: () => this.#presetContent(),
      onOpen: (content) => openPreset(this, content),
      onSaved: () => learnSaved(this),
    });
    this.share = new ShareDialog(element("share-dialog"), {
      conversations: data.conversations_url,
      snapshots: data.snapshots_url,
      texts,
    });
    this.palette = new Palette(element("palette"), () => commandsOf(this));
    this.gallery = new GalleryView(element("empty"), data.gallery, {
      onChosen: (example) => this.fill(example),
      onSaid: (text) => this.#say(text),
    });
    this.socket = new PlaygroundSocket({
      url: `${location.protocol.replace("http", "ws")}//${location.host}/ws/playground/`,
      onFrame: (frame) => this.#hear(frame),
      onState: (state) => this.#connectionIs(state),
    });
  }

  start() {
    const isBack = restored(this);
    this.settings.modeIs(this.mode);
    if (isBack) nameInAddress(this.panes);
    if (this.data.conversation && !isBack) open(this, this.data.conversation);
    else this.showSettings();
    this.modeIs();
    this.#listen();
    keepOverReload(this);
    this.history.mark(this.panes.active.conversation);
    this.socket.connect();
    // Where there is no keyboard, focus would cover half of the page with one.
    if (matchMedia("(hover: hover)").matches) this.focus();
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
    element("new-chat").addEventListener("click", () => void beginAnew(this));
    element("view-code").addEventListener("click", () => this.viewCode());
    element("presets").addEventListener("click", () => void this.presets.show());
    element("share").addEventListener("click", () => this.shareIt());
    element("open-palette").addEventListener("click", () => this.palette.toggle());
    element("mode").addEventListener("change", () => this.#turn());
    this.composer.addEventListener("input", () => this.#look());
    whenItMayHaveDied(() => this.socket.check());
    listenToKeys({
      run: () => this.#submit(),
      stop: () => this.#stop(),
      palette: () => this.palette.toggle(),
      list: () => element("keys-dialog").showModal(),
    });
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
    this.#look();
  }

  ended() {
    nameInAddress(this.panes);
    void this.history.refresh(this.panes.active.conversation);
  }

  /**
   * @param {import("./pane.js").Pane} pane
   * @param {string} action
   */
  pressed(pane, action) {
    if (action === "typed") this.#typed(pane);
    else if (action === "close") void this.#close(pane);
    else if (action === "stop") pane.stop();
    else if (action === "run") this.#submit([pane]);
    else if (action === "focus" || action === "settings") {
      this.#activate(pane);
      if (action === "settings") this.settings.open();
    }
  }

  // --- What a person does ------------------------------------------------------------------------

  /** The panes that what is written below is for. */
  get #addressed() {
    const { list, active } = this.panes;
    return list.length === 1 || !element("synchronised").checked ? [active] : list;
  }

  /**
   * @param {import("./pane.js").Pane[]} [panes]
   * @param {string} [given] said instead of what is written, which stays
   */
  #submit(panes = this.#addressed, given) {
    const idle = panes.filter((pane) => !pane.running);
    if (!this.mayRun || !idle.length || !idle.every((pane) => this.ready(pane))) return;
    const text = given ?? this.composer.value;
    const writes = this.mode === "chat" && text.trim() !== "";
    if (!writes && idle.some((pane) => !pane.hasQuestion)) {
      this.#complain(this.texts.no_message);
      this.focus();
      return;
    }
    this.#complain("");
    if (writes && given === undefined) this.composer.value = "";
    for (const pane of idle) {
      if (writes) pane.store.apply({ type: "say", content: text });
      pane.run();
    }
  }

  /** @param {string} text of a starter; what somebody was writing stays */
  #say(text) {
    if (this.composer.value.trim() !== "") return this.#submit(this.#addressed, text);
    this.composer.value = text;
    this.#submit();
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
    this.focus();
  }

  #stop() {
    for (const pane of this.panes.running) pane.stop();
  }

  compare() {
    if (this.panes.list.length >= MOST_PANES || !this.ready(this.panes.active)) return;
    const pane = this.panes.add(structuredClone(this.panes.active.settings));
    pane.text.value = this.panes.active.text.value;
    this.#activate(pane);
    this.modeIs();
    this.settings.model.focus();
  }

  /** @param {import("./pane.js").Pane} pane */
  async #close(pane) {
    if (!(await mayClose(this, pane))) return;
    this.panes.remove(pane);
    nameInAddress(this.panes);
    this.history.mark(this.panes.active.conversation);
    this.showSettings();
    this.modeIs();
    this.focus();
  }

  /** @param {import("./pane.js").Pane} pane */
  #activate(pane) {
    if (pane === this.panes.active || !this.ready(this.panes.active)) return;
    this.panes.activate(pane);
    this.showSettings();
    this.history.mark(pane.conversation);
    this.#offer();
  }

  /** Those of the pane at hand. Of a model that is gone they say which one will run, at its price. */
  showSettings() {
    const { model } = this.panes.active.settings;
    this.settings.show(this.panes.active.settings);
    this.settingsChanged();
    const other = this.settings.model.value;
    if (other !== model) this.#complain(fillIn(this.texts.model_gone, { model, other }));
  }

  settingsChanged() {
    this.#complain("");
    const settings = this.settings.read();
    if (settings) this.panes.active.settings = settings;
    this.#look();
  }

  /** @param {import("./pane.js").Pane} pane where a text to continue was written */
  #typed(pane) {
    if (element("synchronised").checked) this.panes.spreadText(pane);
    this.#look();
  }

  startAfresh() {
    for (const pane of this.panes.list) pane.clear();
    nameNothing();
    this.#turn();
  }

  /** To the mode that was chosen, and what was said in it. */
  #turn() {
    for (const pane of this.panes.list) pane.turn();
    nameInAddress(this.panes);
    this.history.mark(this.panes.active.conversation);
    this.modeIs();
    this.focus();
  }

  /** @param {string} id */
  #deleted(id) {
    for (const pane of this.panes.list) {
      if (pane.conversation === id) pane.clear();
    }
    nameInAddress(this.panes);
  }

  modeIs() {
    const { mode } = this;
    this.root.dataset.mode = mode;
    this.root.toggleAttribute("data-comparing", this.panes.list.length > 1);
    element("compare").disabled = this.panes.list.length >= MOST_PANES;
    this.settings.modeIs(mode);
    for (const pane of this.panes.list) pane.element.dataset.mode = mode;
    this.#look();
  }

  focus() {
    const place = this.mode === "completion" ? this.panes.active.text : this.composer;
    place.focus({ preventScroll: true });
  }

  viewCode() {
    const pane = this.panes.active;
    if (!this.ready(pane)) return;
    const turns = turnsToSend(pane, this.mode, this.composer.value);
    void this.code.show(pane.frame("code", turns));
  }

  shareIt() {
    void this.share.show(this.panes.active.conversation);
  }

  /** What a preset keeps of the pane at hand, or null when it cannot be sent. */
  #presetContent() {
    const settings = this.settings.read();
    const { panes, mode, composer, variables } = this;
    if (settings) return presetOf(panes.active, mode, composer.value, settings, variables);
    this.presets.dialog.close();
    this.settings.focusWrong();
    return null;
  }

  /** @param {Record<string, any>} example a ready preset */
  fill(example) {
    void fill(this, example);
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
      this.notice.say(this.#stale ? this.texts.organisation_changed : "");
      this.#offer();
      return;
    }
    if (frame.type === "error" && frame.id === undefined) {
      this.notice.refused(frame.error);
      return;
    }
    if (frame.error?.param) this.settings.structure.complain(frame.error.param, frame.error.message);
    if (frame.summary) showBalance(frame.summary.balance_nanos);
    for (const pane of this.panes.list) pane.hear(frame);
  }

  /** @param {import("./socket.js").Connection} state */
  #connectionIs(state) {
    this.root.dataset.connection = state;
    this.notice.connectionIs(state);
    if (state !== "ready") for (const pane of this.panes.list) pane.lost();
    this.#offer();
  }

  // --- What is shown -----------------------------------------------------------------------------

  #look() {
    this.table.look([this.composer.value, ...this.panes.list.flatMap((pane) => pane.texts)]);
    this.#offer();
  }

  #offer() {
    offer(this.panes, this.#addressed, this.mode, this.mayRun);
    this.keeper.look();
  }
}

new Playground().start();
