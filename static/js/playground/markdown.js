// A model's Markdown becomes nodes of the page while it streams.
//
// The text comes from outside: HTML in it is shown as text, images become their description, and
// everything passes DOMPurify with a short list of what may stay. Blocks that are complete are
// rendered once and left alone, so a frame costs no more in a long answer than in a short one.
import { Marked } from "../vendor/marked.js";
import DOMPurify from "../vendor/purify.js";
import { BlockReader } from "./blocks.js";
import { escaped, formulas, setFormula } from "./formulas.js";
import { graft } from "./graft.js";
import { coloured, isLoaded, languageOf, load } from "./highlight.js";

const TAGS = [
  "p", "br", "hr", "strong", "em", "del", "code", "pre", "blockquote", "ul", "ol", "li",
  "h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td", "a", "math", "mtext",
];
const WEB_ADDRESS = /^(?:https?:\/\/|mailto:)/i;

const marked = new Marked({ gfm: true, breaks: false });
marked.use({
  extensions: formulas,
  renderer: {
    html: (/** @type {{text: string}} */ { text }) => escaped(text),
    image: (/** @type {{text: string, href: string}} */ { text, href }) =>
      `<em>${escaped(text || href)}</em>`,
    checkbox: (/** @type {{checked: boolean}} */ { checked }) => (checked ? "☑ " : "☐ "),
  },
});

/**
 * @param {string} html
 * @param {string[]} tags
 * @param {string[]} attributes
 * @returns {DocumentFragment}
 */
function sanitised(html, tags, attributes) {
  const fragment = DOMPurify.sanitize(html, {
    ALLOWED_TAGS: tags,
    ALLOWED_ATTR: attributes,
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    RETURN_DOM_FRAGMENT: true,
  });
  for (const link of fragment.querySelectorAll("a")) disarm(link);
  return fragment;
}

/**
 * A link goes to the web or nowhere, opens apart, and shows where it leads.
 * @param {HTMLAnchorElement} link
 */
function disarm(link) {
  const address = link.getAttribute("href") ?? "";
  if (!WEB_ADDRESS.test(address)) {
    link.replaceWith(...link.childNodes);
    return;
  }
  link.rel = "noopener noreferrer nofollow";
  link.target = "_blank";
  link.title = address;
}

export class MarkdownView {
  #blocks = new BlockReader((text) => marked.lexer(text));
  /** Holds the blocks that may still change. */
  #live = document.createElement("div");

  /** @param {Element} target */
  constructor(target) {
    this.target = target;
    this.#live.className = "markdown-live";
    this.target.replaceChildren(this.#live);
  }

  /**
   * Show `text`; cheap when it only grew since the last call.
   * @param {string} text
   * @param {boolean} complete
   */
  update(text, complete) {
    const { again, done, open, links } = this.#blocks.read(text, complete);
    if (again) this.target.replaceChildren(this.#live);
    for (const token of done) this.#live.before(...this.#nodes(token, links, true));
    const fresh = document.createElement("div");
    for (const token of open) fresh.append(...this.#nodes(token, links, false));
    graft(this.#live, fresh);
    this.#live.hidden = open.length === 0;
  }

  /**
   * @param {any} token
   * @param {any} links
   * @param {boolean} complete
   * @returns {Node[]}
   */
  #nodes(token, links, complete) {
    if (token.type === "space") return [];
    if (token.type === "code") return [codeBlock(token.text, token.lang ?? "", complete)];
    const html = marked.parser(Object.assign([token], { links }));
    const fragment = sanitised(html, TAGS, ["href", "start", "align"]);
    for (const table of fragment.querySelectorAll("table")) frame(table);
    for (const formula of fragment.querySelectorAll("math")) setFormula(formula);
    return [...fragment.childNodes];
  }
}

/**
 * Wide tables scroll by themselves, also by keyboard.
 * @param {Element} table
 */
function frame(table) {
  const around = document.createElement("div");
  around.className = "table-frame";
  around.tabIndex = 0;
  table.className = "table";
  table.replaceWith(around);
  around.append(table);
}

/**
 * @param {string} text
 * @param {string} info
 * @param {boolean} complete
 */
function codeBlock(text, info, complete) {
  const template = /** @type {HTMLTemplateElement} */ (document.getElementById("code-template"));
  const part = /** @type {Element} */ (template.content.firstElementChild);
  const block = /** @type {Element} */ (part.cloneNode(true));
  const language = languageOf(info);
  const label = /** @type {Element} */ (block.querySelector("[data-language]"));
  label.textContent = language || info.trim().slice(0, 40);
  const code = /** @type {Element} */ (block.querySelector("code"));
  code.textContent = text;
  if (language && isLoaded(language)) colour(code, text, language);
  else if (language) {
    const loading = load(language).catch(() => {}); // as a line that is down: it stays plain
    if (complete) void loading.then(() => colour(code, text, language));
  }
  return block;
}

/**
 * @param {Element} code
 * @param {string} text
 * @param {string} language
 */
function colour(code, text, language) {
  const html = coloured(text, language);
  if (html !== null) code.replaceChildren(sanitised(html, ["span"], ["class"]));
}
