// `{{names}}` in what is written, and the values that stand for them in what is sent.

const VARIABLE = /\{\{\s*([\p{L}_][\p{L}\p{N}_]*)\s*\}\}/gu;

/**
 * The names in the texts, each once, in their order.
 * @param {string[]} texts
 */
export function namesIn(texts) {
  const names = texts.flatMap((text) => [...text.matchAll(VARIABLE)].map((match) => match[1]));
  return [...new Set(names)];
}

/**
 * A name without a value stays as it is written: it may not be meant.
 * @param {string} text
 * @param {Record<string, string>} values
 */
export function filled(text, values) {
  return text.replace(VARIABLE, (whole, name) =>
    Object.hasOwn(values, name) && values[name] !== "" ? values[name] : whole,
  );
}
