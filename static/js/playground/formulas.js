// Formulas that a model writes in LaTeX, set as MathML: the library is fetched with the first one.
import DOMPurify from "../vendor/purify.js";

/** Above this many characters one stays as it is written: neither it nor its end is looked for. */
const MOST_CHARS = 2_000;
/** Set ones, so that a block that grows does not set all of its formulas again with each frame. */
const MOST_KEPT = 200;
const OPTIONS = { throwOnError: true, trust: false, maxExpand: 500, maxSize: [5, 20] };
/** Of a space or a shift that nobody means; `maxSize` is of positive ones alone. */
const FAR = /(?<![\d.])(?:\d{2,}(?:\.\d+)?e[mx]|\d{3,}(?:\.\d+)?p[tx])/;
/** What Temml makes, and no links. It sets styles by properties, which our policy lets be. */
const KEPT = { USE_PROFILES: { mathMl: true }, ADD_TAGS: ["div", "span"], ADD_ATTR: ["class", "style"] };

// None goes over an empty line. Of single dollars the first stands before a word's beginning and the
// last behind its end, or every two prices would make a formula; "$5 for" is a price as well.
const TEXT = String.raw`((?:(?!\n[ \t]*\n)[^]){1,${MOST_CHARS}}?)`;
const DISPLAYED = String.raw`\$\$${TEXT}\$\$|\\\[${TEXT}\\\]`;
const SINGLE = String.raw`\$(?![\s$]|\d[\d.,]*\s+\p{L}{2})((?:\\.|[^\\$\n])+?)(?<!\s)\$(?![\p{L}\p{N}$])`;
const INLINE = String.raw`\\\(${TEXT}\\\)|${SINGLE}`;
const BLOCK = String.raw` {0,3}(?:${DISPLAYED})[ \t]*(?:\n+|$)`;

const block = new RegExp(`^${BLOCK}`, "u");
const blockWithin = /\n {0,3}(?:\$\$|\\\[)/;
const span = new RegExp(`^(?:${DISPLAYED}|${INLINE})`, "u");
const spanWithin = /\\[([]|(?<![\p{L}\p{N}$\\])\$/u;
const BEGIN = /^\n? {0,3}(\$\$?|\\[([])/;
/** @type {Record<string, string>} */
const ENDS = { $: "$", $$: "$$", "\\[": "\\]", "\\(": "\\)" };

/** What marked reads and writes of them. */
export const formulas = [
  rule("formula", "block", block, blockWithin),
  rule("formulaSpan", "inline", span, spanWithin),
];

/** Temml, once it was needed. @type {any} */
let temml = null;
/** @type {Map<string, Element>} */
const kept = new Map();

/**
 * Puts the formula where its text is, as soon as there is a library that can.
 * @param {Element} place what marked made of it
 */
export function setFormula(place) {
  if (temml) place.replaceWith(setOrWritten(place));
  else void load().then(() => place.replaceWith(setOrWritten(place)), () => {}); // a line that is down
}

/**
 * @param {string} name
 * @param {"block" | "inline"} level
 * @param {RegExp} whole at the beginning of a text
 * @param {RegExp} within where the next one may begin
 */
function rule(name, level, whole, within) {
  return {
    name,
    level,
    start(/** @type {string} */ text) {
      const found = within.exec(text);
      return found && mayEnd(text, found.index) ? found.index : undefined;
    },
    tokenizer(/** @type {string} */ text) {
      const [raw, ...parts] = (mayEnd(text, 0) && whole.exec(text)) || [];
      if (!raw || !parts.some((part) => part?.trim())) return undefined;
      return { type: name, raw, text: raw.trim() };
    },
    renderer: (/** @type {any} */ { text }) => `<math><mtext>${escaped(text)}</mtext></math>`,
  };
}

/**
 * Else nothing has to look for its end: while an answer streams, most beginnings have none yet.
 * @param {string} text
 * @param {number} from where one begins, if there is one
 */
function mayEnd(text, from) {
  const ahead = text.slice(from, from + MOST_CHARS + 10); // with its marks
  const [begin, mark] = BEGIN.exec(ahead) ?? [];
  return begin === undefined || ahead.includes(ENDS[mark], begin.length);
}

/** @param {string} text */
export function escaped(text) {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

async function load() {
  temml = (await import("../vendor/temml.js")).default;
}

/** @param {Element} place */
function setOrWritten(place) {
  const written = place.textContent ?? "";
  let node = kept.get(written);
  if (!node) {
    node = made(written);
    if (kept.size >= MOST_KEPT) kept.clear();
    kept.set(written, node);
  }
  return node.cloneNode(true);
}

/**
 * @param {string} written with its marks
 * @returns {Element} what cannot be set is shown as it is written
 */
function made(written) {
  const displayMode = /^(?:\$\$|\\\[)/.test(written);
  const marks = written.startsWith("$") && !displayMode ? 1 : 2;
  const box = document.createElement(displayMode ? "div" : "span");
  box.className = "formula";
  try {
    temml.render(written.slice(marks, -marks), box, { ...OPTIONS, displayMode });
    if (goesFar(box)) throw new RangeError(written);
    DOMPurify.sanitize(box, { ...KEPT, IN_PLACE: true });
  } catch {
    const code = document.createElement("code");
    code.textContent = written;
    return code;
  }
  if (displayMode) box.tabIndex = 0; // a long one scrolls by itself, also by keyboard
  return box;
}

/** @param {Element} box */
function goesFar(box) {
  const attributes = [...box.querySelectorAll("*")].flatMap((part) => [...part.attributes]);
  return attributes.some(({ value }) => FAR.test(value));
}
