// Colours for code: fetched with the first code that has any, and each language when it is first
// needed.

/** Above this many characters code stays plain: colours must not cost a frame. */
const MOST_CHARS = 20_000;

/** highlight.js, once it was needed. @type {any} */
let hljs = null;

/** @type {Record<string, () => Promise<{default: any}>>} */
const GRAMMARS = {
  bash: () => import("../vendor/highlight/bash.js"),
  c: () => import("../vendor/highlight/c.js"),
  cpp: () => import("../vendor/highlight/cpp.js"),
  css: () => import("../vendor/highlight/css.js"),
  go: () => import("../vendor/highlight/go.js"),
  java: () => import("../vendor/highlight/java.js"),
  javascript: () => import("../vendor/highlight/javascript.js"),
  json: () => import("../vendor/highlight/json.js"),
  markdown: () => import("../vendor/highlight/markdown.js"),
  python: () => import("../vendor/highlight/python.js"),
  rust: () => import("../vendor/highlight/rust.js"),
  sql: () => import("../vendor/highlight/sql.js"),
  typescript: () => import("../vendor/highlight/typescript.js"),
  xml: () => import("../vendor/highlight/xml.js"),
  yaml: () => import("../vendor/highlight/yaml.js"),
};
/** @type {Record<string, string>} */
const OTHER_NAMES = {
  "c++": "cpp",
  html: "xml",
  js: "javascript",
  md: "markdown",
  py: "python",
  rs: "rust",
  sh: "bash",
  shell: "bash",
  svg: "xml",
  ts: "typescript",
  yml: "yaml",
};

/**
 * The language that a fence names, when its grammar is here to be fetched.
 * @param {string} info what stands behind the opening fence
 */
export function languageOf(info) {
  const name = info.trim().split(/\s/)[0].toLowerCase();
  const language = OTHER_NAMES[name] ?? name;
  return Object.hasOwn(GRAMMARS, language) ? language : "";
}

/** @param {string} language */
export function isLoaded(language) {
  return hljs?.getLanguage(language) !== undefined;
}

/** @param {string} language */
export async function load(language) {
  if (isLoaded(language)) return;
  const core = import("../vendor/highlight/core.js");
  const { default: grammar } = await GRAMMARS[language]();
  hljs = (await core).default;
  hljs.registerLanguage(language, grammar);
}

/**
 * The code as HTML of `<span class="hljs-…">`, or null when it is to stay plain. It still has to be
 * sanitised.
 * @param {string} code
 * @param {string} language
 */
export function coloured(code, language) {
  if (!isLoaded(language) || code.length > MOST_CHARS) return null;
  return hljs.highlight(code, { language, ignoreIllegals: true }).value;
}
