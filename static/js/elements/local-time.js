/**
 * Says how long ago its `<time datetime>` is; the server's text, in the visitor's time zone, stays
 * as its title. With `relative="no"` it is left as the server wrote it.
 */
export class LocalTime extends HTMLElement {
  /** @type {number | undefined} */
  #timer;

  connectedCallback() {
    const time = this.querySelector("time");
    if (!time || this.getAttribute("relative") === "no") return;
    time.title ||= time.textContent ?? "";
    const show = () => {
      time.textContent = ago(new Date(time.dateTime), new Date(Date.now() + AHEAD_MS));
    };
    show();
    this.#timer = window.setInterval(show, 20_000);
  }

  disconnectedCallback() {
    clearInterval(this.#timer);
  }
}

/** What a page takes to arrive is no difference between clocks. */
const ALIKE_MS = 60_000;
const AHEAD_MS = aheadMs();

/**
 * By how much the server's clock, as the page has brought it, is ahead of this machine's, which may
 * be hours wrong: what is new would be hours old.
 */
function aheadMs() {
  const said = document.querySelector("[data-now]")?.getAttribute("data-now");
  const ahead = said ? Number(said) * 1000 - Date.now() : 0;
  return Math.abs(ahead) < ALIKE_MS ? 0 : ahead;
}

/** @type {[Intl.RelativeTimeFormatUnit, number][]} */
const UNITS = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];

/**
 * @param {Date} then
 * @param {Date} now
 * @returns {string} for instance "5 minutes ago"; a date when it is more than a month away
 */
function ago(then, now) {
  const language = document.documentElement.lang || "en";
  const seconds = Math.round((then.getTime() - now.getTime()) / 1000);
  if (Math.abs(seconds) > 30 * 86_400) {
    return then.toLocaleDateString(language, { dateStyle: "medium" });
  }
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
  // Of the words, “now” alone is right: what is 40 hours old need not be of yesterday.
  const numeric = unit === "second" ? "auto" : "always";
  const format = new Intl.RelativeTimeFormat(language, { numeric });
  return format.format(Math.trunc(seconds / size), unit);
}

customElements.define("local-time", LocalTime);
