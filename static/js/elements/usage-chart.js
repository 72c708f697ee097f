/**
 * Draws usage over time with uPlot. `from` is the id of a JSON script: times (unix seconds), lines
 * with labels and values, their unit, and what the time is called. The numbers are also in a table
 * beside it; this is for the eye alone.
 */
import { dollarSign } from "../currency.js";
import uPlot from "../vendor/uplot.js";

const HEIGHT_PX = 256;
const LABEL_PX = 72;
const DIGIT_PX = 7;
/** Lines differ by their dashes too, not by colour alone. */
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [4, 4]];
/** It comes without types. @type {any} */
const Chart = uPlot;

/**
 * What is used of a chart of uPlot's.
 * @typedef {object} Plot
 * @property {number[][]} data times, then the values of each line
 * @property {number} width
 * @property {(size: {width: number, height: number}) => void} setSize
 * @property {() => void} destroy
 */

/**
 * @typedef {object} ChartData
 * @property {"dollars" | "count" | "share"} unit
 * @property {"minute" | "hour" | "day" | "month"} bucket
 * @property {string} zone the time zone of the labels
 * @property {string} time the word for it
 * @property {number[]} times
 * @property {{label: string, values: (number | null)[]}[]} lines
 */

export class UsageChart extends HTMLElement {
  /** @type {Plot | undefined} */
  #plot;
  /** @type {ResizeObserver | undefined} */
  #resize;
  #scheme = matchMedia("(prefers-color-scheme: dark)");
  #redraw = () => this.#draw();

  connectedCallback() {
    this.#draw();
    this.#resize = new ResizeObserver(() => {
      this.#plot?.setSize({ width: this.clientWidth, height: HEIGHT_PX });
    });
    this.#resize.observe(this);
    this.#scheme.addEventListener("change", this.#redraw);
    document.addEventListener("theme-change", this.#redraw);
  }

  disconnectedCallback() {
    this.#resize?.disconnect();
    this.#scheme.removeEventListener("change", this.#redraw);
    document.removeEventListener("theme-change", this.#redraw);
    this.#plot?.destroy();
  }

  #draw() {
    const source = document.getElementById(this.getAttribute("from") ?? "");
    if (!source) return;
    /** @type {ChartData} */
    const data = JSON.parse(source.textContent ?? "{}");
    this.#plot?.destroy();
    this.#plot = new Chart(
      options(data, (name) => this.#colour(name), this.clientWidth),
      [data.times, ...data.lines.map((line) => line.values)],
      this,
    );
  }

  /**
   * A colour of the style sheet, resolved for the theme that is on.
   * @param {string} name
   */
  #colour(name) {
    const probe = document.createElement("span");
    probe.className = `chart-colour-${name}`;
    this.append(probe);
    const { color } = getComputedStyle(probe);
    probe.remove();
    return color;
  }
}

/**
 * @param {ChartData} data
 * @param {(name: string) => string} colour
 * @param {number} width
 */
function options(data, colour, width) {
  const bars = data.lines.length === 1;
  const font = `12px ${getComputedStyle(document.body).fontFamily}`;
  const axis = {
    stroke: colour("text"),
    grid: { stroke: colour("grid"), width: 1 },
    ticks: { show: false },
    font,
  };
  return {
    width,
    height: HEIGHT_PX,
    legend: { show: true, live: true },
    cursor: { y: false, points: { show: !bars } },
    scales: {
      x: { time: true, range: bars ? withRoom : undefined },
      y: { range: (/** @type {Plot} */ _plot, /** @type {number} */ _low, /** @type {number} */ high) => top(high, data) },
    },
    axes: [
      { ...axis, grid: { show: false }, splits: marks, values: ofEach((mark) => label(mark, data)) },
      { ...axis, size: widest, values: ofEach((mark) => show(mark, data.unit)) },
    ],
    series: [
      { label: data.time, value: ofAny((time) => label(time, data, true)) },
      ...data.lines.map((line, index) => ({
        label: line.label,
        stroke: colour(String(index + 1)),
        fill: bars ? colour("1") : undefined,
        width: bars ? 0 : 2,
        dash: DASHES[index],
        paths: bars ? Chart.paths.bars({ size: [0.7, 40], radius: 0.15 }) : undefined,
        points: { show: false },
        value: ofAny((value) => show(value, data.unit)),
      })),
    ],
  };
}

/**
 * What writes a row of labels.
 * @param {(mark: number) => string} write
 */
function ofEach(write) {
  return (/** @type {Plot} */ _plot, /** @type {number[]} */ marks) => marks.map((mark) => write(mark));
}

/**
 * What writes one value, where there is one.
 * @param {(value: number) => string} write
 */
function ofAny(write) {
  return (/** @type {Plot} */ _plot, /** @type {number | null} */ value) =>
    value === null ? "–" : write(value);
}

/**
 * Marks stand at the beginnings of buckets: every one, or every so many where room is short.
 * @param {Plot} plot
 */
function marks(plot) {
  const times = plot.data[0];
  const step = Math.ceil((times.length * LABEL_PX) / plot.width);
  return times.filter((_time, index) => (times.length - 1 - index) % step === 0);
}

/**
 * Room for the longest label of the vertical axis.
 * @param {Plot} _plot
 * @param {string[] | null} values
 */
function widest(_plot, values) {
  return 16 + DIGIT_PX * Math.max(4, ...(values ?? []).map((value) => value.length));
}

/**
 * Half a bucket of room on both sides, so that the outer bars are whole.
 * @param {Plot} plot
 * @param {number} low
 * @param {number} high
 */
function withRoom(plot, low, high) {
  const times = plot.data[0];
  const half = times.length > 1 ? (times[1] - times[0]) / 2 : 1800;
  return [low - half, high + half];
}

/**
 * @param {number | null} high
 * @param {ChartData} data
 * @returns {[number, number]}
 */
function top(high, data) {
  if (data.unit === "share") return [0, 1];
  const least = data.unit === "count" ? 4 : 0.0001;
  return [0, Math.max((high ?? 0) * 1.1, least)];
}

/**
 * @param {number} time unix seconds
 * @param {ChartData} data
 * @param {boolean} whole with everything there is to say
 */
function label(time, data, whole = false) {
  const language = document.documentElement.lang || "en";
  /** @type {Intl.DateTimeFormatOptions} */
  const format = { timeZone: data.zone };
  if (data.bucket === "minute" || data.bucket === "hour") {
    Object.assign(format, { hour: "2-digit", minute: "2-digit", hour12: false });
    if (whole) Object.assign(format, { month: "short", day: "numeric" });
  } else if (data.bucket === "day") {
    Object.assign(format, { month: "short", day: "numeric" });
  } else {
    Object.assign(format, { month: "short", year: whole ? "numeric" : "2-digit" });
  }
  return new Intl.DateTimeFormat(language, format).format(new Date(time * 1000));
}

/**
 * @param {number} value
 * @param {ChartData["unit"]} unit
 */
function show(value, unit) {
  const language = document.documentElement.lang || "en";
  if (unit === "share") return `${(value * 100).toFixed(0)}%`;
  if (unit === "count") {
    return new Intl.NumberFormat(language, { notation: "compact", maximumFractionDigits: 2 }).format(
      value,
    );
  }
  const digits = value !== 0 && value < 0.01 ? 6 : value < 1 ? 4 : 2;
  return `${dollarSign()}${value.toFixed(digits).replace(/(\.\d\d\d*?)0+$/, "$1")}`;
}

customElements.define("usage-chart", UsageChart);
