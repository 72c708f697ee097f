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
      time.textContent = ago(new Date(time.dateTime), new Date());
    };
    show();
    this.#timer = window.setInterval(show, 20_000);
  }

  disconnectedCallback() {
    clearInterval(this.#timer);
  }
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
  const format = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
  return format.format(Math.trunc(seconds / size), unit);
}

customElements.define("local-time", LocalTime);
