// One message of the chat on the page: its text, its buttons, and the numbers under an answer.
import * as format from "./format.js";
import { LogprobsView } from "./logprobs-view.js";
import { MarkdownView } from "./markdown.js";
import { plain } from "./probability.js";
import { isRunning } from "./state.js";

/** How each of the server's numbers is written. */
const WRITTEN = {
  ttft_ms: format.duration,
  tokens_per_s: format.rate,
  prompt_tokens: format.count,
  cached_tokens: format.count,
  completion_tokens: format.count,
  cost_nanos: format.dollars,
  model: String,
};

export class TurnView {
  /** @type {import("./state.js").Turn | null} */
  #shown = null;
  /** @type {MarkdownView | null} */
  #markdown = null;
  /** Whether the editor was left in the middle of writing. */
  #isHalfWritten = false;
  /** Once they were asked for. @type {LogprobsView | null} */
  #probabilities = null;

  /**
   * @param {Record<string, string>} texts
   * @param {Record<string, string>} urls
   */
  constructor(texts, urls) {
    this.texts = texts;
    this.urls = urls;
    const template = /** @type {HTMLTemplateElement} */ (document.getElementById("turn-template"));
    this.element = /** @type {HTMLElement} */ (
      /** @type {Element} */ (template.content.firstElementChild).cloneNode(true)
    );
  }

  /** @param {import("./state.js").Turn} turn */
  update(turn) {
    if (turn === this.#shown) return;
    const before = this.#shown;
    this.#shown = turn;
    this.element.dataset.key = String(turn.key);
    if (turn.role !== before?.role) this.#showRole(turn);
    this.#showText(turn, before);
    if (turn.status !== before?.status) this.#showStatus(turn);
    if (turn.summary !== before?.summary) this.#showSummary(turn);
    if (turn.error !== before?.error) this.#showError(turn);
    if (turn.note !== before?.note) this.#say("[data-note]", turn.note);
    if (turn.calls !== before?.calls) this.#showCalls(turn);
    if (turn.logprobs !== before?.logprobs || turn.summary !== before?.summary) {
      this.#showLogprobs(turn);
    }
  }

  /**
   * Offers a place to type what a tool answers.
   * @param {import("./state.js").Call[]} open calls that nobody answered
   */
  offer(open) {
    const done = ["finished", "still"].includes(this.#shown?.status ?? "");
    for (const form of this.element.querySelectorAll("form[data-call-id]")) {
      const { callId } = /** @type {HTMLElement} */ (form).dataset;
      /** @type {HTMLElement} */ (form).hidden = !done || !open.some(({ id }) => id === callId);
    }
  }

  /** Tokens by their probability instead of the text, or the text again. */
  showProbabilities() {
    const place = this.#part("[data-probabilities]");
    place.hidden = !place.hidden;
    this.element.classList.toggle("by-token", !place.hidden);
    this.#part("[data-action=probabilities]").setAttribute("aria-pressed", String(!place.hidden));
    if (this.#shown) this.#showLogprobs(this.#shown);
  }

  get editing() {
    return this.#editor?.hidden === false;
  }

  /** Whether its editor is open and says something else than the message. */
  get edited() {
    return this.editing && this.draft !== this.#shown?.content;
  }

  /**
   * Goes on where it was left.
   * @param {string} [half] what was written before the page was loaded again
   */
  edit(half) {
    const editor = this.#editor ?? this.#makeEditor();
    const area = /** @type {HTMLTextAreaElement} */ (editor.querySelector("textarea"));
    if (!this.#isHalfWritten) area.value = half ?? this.#shown?.content ?? "";
    this.#isHalfWritten = false;
    editor.hidden = false;
    this.#part("[data-text]").hidden = true;
    area.focus();
  }

  /** For now, as by Escape: what was typed is there again when the message is edited. */
  rest() {
    this.leave();
    this.#isHalfWritten = true;
  }

  leave() {
    this.close();
    this.#part("[data-action=edit]").focus();
  }

  close() {
    if (this.#editor) this.#editor.hidden = true;
    this.#part("[data-text]").hidden = false;
  }

  /** @returns {string} */
  get draft() {
    return this.#editor?.querySelector("textarea")?.value ?? "";
  }

  /** @type {HTMLElement | null} */
  get #editor() {
    return this.element.querySelector("[data-editor]");
  }

  /**
   * Once it is wanted. A browser reads every form of a page for what it could fill in whenever
   * another one comes: with a form for each of 500 messages every run stood still for seconds.
   * @returns {HTMLElement}
   */
  #makeEditor() {
    const template = /** @type {HTMLTemplateElement} */ (document.getElementById("editor-template"));
    this.#part("[data-problem]").before(template.content.cloneNode(true));
    return this.#part("[data-editor]");
  }

  /** @param {import("./state.js").Turn} turn */
  #showCalls({ calls }) {
    const place = this.#part("[data-calls]");
    place.hidden = calls.length === 0;
    const template = /** @type {HTMLTemplateElement} */ (document.getElementById("call-template"));
    for (const [at, call] of calls.entries()) {
      if (!place.children[at]) place.append(template.content.cloneNode(true));
      const part = place.children[at];
      /** @type {HTMLElement} */ (part.querySelector("[data-call-name]")).textContent = call.name;
      /** @type {HTMLElement} */ (part.querySelector("[data-call-arguments]")).textContent = call.arguments;
      /** @type {HTMLElement} */ (part.querySelector("form")).dataset.callId = call.id;
    }
    while (place.childElementCount > calls.length) place.lastElementChild?.remove();
  }

  /** @param {import("./state.js").Turn} turn */
  #showLogprobs({ logprobs, summary }) {
    this.#part("[data-action=probabilities]").hidden = logprobs.length === 0;
    const place = this.#part("[data-probabilities]");
    if (place.hidden) return;
    if (logprobs.length === 0) return this.showProbabilities();
    this.#probabilities ??= new LogprobsView(place);
    this.#probabilities.update(logprobs, summary);
  }

  /** @param {import("./state.js").Turn} turn */
  #showRole(turn) {
    this.element.dataset.role = turn.role;
    if (turn.role === "assistant") this.element.dataset.testid = "answer";
    else delete this.element.dataset.testid;
    this.#part(".turn-role").textContent = this.texts[turn.role];
    this.#part("[data-text]").replaceChildren();
    this.#markdown = turn.role === "assistant" ? new MarkdownView(this.#part("[data-text]")) : null;
  }

  /**
   * @param {import("./state.js").Turn} turn
   * @param {import("./state.js").Turn | null} before
   */
  #showText(turn, before) {
    const complete = turn.status !== "waiting" && turn.status !== "streaming";
    const same = turn.content === before?.content && turn.role === before.role;
    if (same && turn.status === before.status) return;
    if (this.#markdown) this.#markdown.update(turn.content, complete);
    else this.#part("[data-text]").textContent = turn.content;
    // Of an answer its Markdown, which is on the page nowhere else.
    if (complete) this.#part(".turn-actions copy-button").setAttribute("value", turn.content);
  }

  /** @param {import("./state.js").Turn} turn */
  #showStatus(turn) {
    const running = isRunning(turn);
    if (running) this.element.dataset.state = "streaming";
    else this.element.dataset.state = turn.status === "error" ? "error" : "finished";
    this.element.classList.toggle("waiting", turn.status === "waiting");
    this.element.setAttribute("aria-busy", String(running));
    for (const button of this.element.querySelectorAll(".turn-head button")) {
      /** @type {HTMLButtonElement} */ (button).disabled = running;
    }
  }

  /** @param {import("./state.js").Turn} turn */
  #showSummary({ summary }) {
    const list = this.#part("[data-testid=answer-stats]");
    list.hidden = summary === null;
    if (summary === null) return;
    for (const [name, write] of Object.entries(WRITTEN)) {
      const cell = this.#part(`[data-stat=${name}]`);
      cell.textContent = write(summary[name]);
      cell.dataset.value = String(summary[name] ?? "");
    }
    const reason = summary.finish_reason || summary.outcome;
    const shown = summary.outcome === "finished" ? reason : summary.outcome;
    this.#part("[data-stat=finish_reason]").textContent = this.texts[`finish_${shown}`] ?? shown;
    this.#part("[data-stat=seed]").textContent = String(summary.seed ?? this.texts.random);
    const perplexity = this.#part("[data-stat=perplexity]");
    /** @type {HTMLElement} */ (perplexity.parentElement).hidden = summary.perplexity === undefined;
    if (summary.perplexity !== undefined) perplexity.textContent = plain(summary.perplexity);
    const link = /** @type {HTMLAnchorElement} */ (this.#part("[data-stat=request_id]"));
    link.href = `${this.urls.requests}${encodeURIComponent(summary.request_id)}/`;
    link.textContent = `…${summary.request_id.slice(-6)}`;
    link.title = summary.request_id;
  }

  /** @param {import("./state.js").Turn} turn */
  #showError({ error }) {
    const gone = error?.code === "conversation_not_found";
    const message = gone ? this.texts.conversation_gone : (error?.message ?? "");
    this.#say("[data-problem]", message);
    if (error?.status !== 402) return;
    // The address that some sentences end with becomes the link.
    const [address] = /https?:\/\/\S+$/.exec(message) ?? [""];
    const link = document.createElement("a");
    [link.textContent, link.href] = [address || this.texts.top_up, this.urls.billing];
    const before = message.slice(0, message.length - address.length).trimEnd();
    this.#part("[data-problem]").replaceChildren(before, " ", link);
  }

  /**
   * @param {string} selector
   * @param {string} sentence
   */
  #say(selector, sentence) {
    const place = this.#part(selector);
    place.textContent = sentence;
    place.hidden = sentence === "";
  }

  /**
   * @param {string} selector
   * @returns {HTMLElement}
   */
  #part(selector) {
    return /** @type {HTMLElement} */ (this.element.querySelector(selector));
  }
}
