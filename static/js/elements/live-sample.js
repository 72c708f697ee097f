/**
 * <live-sample data-broken="…">: puts the question whose button is pressed, the first one by itself,
 * and shows the answer as it is generated. Inside: a form with the questions' buttons, `[data-asked]`
 * for the question, `[data-answer]` (a live region that speaks when the answer is whole) and
 * `[data-told]` for what it measured. The address answers with a line of JSON for each gain.
 */
class LiveSample extends HTMLElement {
  /** @type {AbortController | null} */
  #asking = null;

  connectedCallback() {
    const form = this.querySelector("form");
    form?.addEventListener("submit", (event) => {
      event.preventDefault();
      if (event.submitter instanceof HTMLButtonElement) void this.#ask(form, event.submitter);
    });
    const first = form?.querySelector("button");
    if (form && first) void this.#ask(form, first);
  }

  disconnectedCallback() {
    this.#asking?.abort();
  }

  /**
   * @param {HTMLFormElement} form
   * @param {HTMLButtonElement} button
   */
  async #ask(form, button) {
    this.#asking?.abort();
    const asking = (this.#asking = new AbortController());
    this.#part("asked").textContent = button.textContent;
    this.#part("answer").textContent = "";
    this.#part("told").textContent = "";
    this.#part("answer").setAttribute("aria-busy", "true");
    for (const other of form.querySelectorAll("button")) {
      other.setAttribute("aria-pressed", String(other === button));
    }
    try {
      const answer = await fetch(form.action, {
        method: "POST",
        body: new FormData(form, button),
        signal: asking.signal,
      });
      for await (const gain of lines(answer)) this.#take(gain);
    } catch {
      if (!asking.signal.aborted) this.#take({ error: this.dataset.broken });
    }
    if (this.#asking === asking) this.#part("answer").setAttribute("aria-busy", "false");
  }

  /** @param {{ text?: string, told?: string, error?: string }} gain */
  #take(gain) {
    if (gain.text) this.#part("answer").append(gain.text);
    this.#part("told").textContent = gain.told ?? gain.error ?? this.#part("told").textContent;
  }

  /**
   * @param {string} name
   * @returns {HTMLElement}
   */
  #part(name) {
    return /** @type {HTMLElement} */ (this.querySelector(`[data-${name}]`));
  }
}

/**
 * The objects in a body of one a line, as they come.
 * @param {Response} answer
 */
export async function* lines(answer) {
  if (!answer.body) return;
  const decoder = new TextDecoder();
  const reader = answer.body.getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    rest += decoder.decode(value, { stream: !done });
    const whole = rest.split("\n");
    rest = done ? "" : (whole.pop() ?? "");
    for (const line of whole) if (line) yield JSON.parse(line);
    if (done) return;
  }
}

customElements.define("live-sample", LiveSample);
