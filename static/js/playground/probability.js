// What a log-probability says to a person: per cent, perplexity, and one of five levels.

/** The least probability of each level, the highest first; the last holds the rest. */
const LEVELS = [0.9, 0.6, 0.3, 0.1];

/** @param {number} logprob */
export function levelOf(logprob) {
  const probability = Math.exp(logprob);
  const level = LEVELS.findIndex((least) => probability >= least);
  return level < 0 ? LEVELS.length : level;
}

/** @param {number} logprob */
export function percent(logprob) {
  const share = Math.exp(logprob) * 100;
  if (share > 0 && share < 0.01) return "< 0.01 %";
  return `${share.toFixed(share >= 99.995 || share < 10 ? 2 : 1)} %`;
}

/**
 * Of one token: among how many equally likely ones it was chosen, so to speak.
 * @param {number} logprob
 */
export function perplexity(logprob) {
  return plain(Math.exp(Math.min(-logprob, 709)));
}

/** @param {number} value */
export function plain(value) {
  return value < 1e6 ? value.toFixed(value < 100 ? 2 : 0) : value.toExponential(2);
}

/**
 * A token so that its blanks can be seen.
 * @param {string} token
 */
export function visible(token) {
  return token.replaceAll(" ", "␣").replaceAll("\n", "↵").replaceAll("\t", "⇥") || "∅";
}

/**
 * Spells tokens one after another: of a character in parts, the last shows it and the others a dot.
 * @returns {(token: string) => string}
 */
export function speller() {
  const decoder = new TextDecoder();
  return (token) => {
    if (!token.startsWith("bytes:\\x")) return token;
    const bytes = token.split("\\x").slice(1).map((digits) => Number.parseInt(digits, 16));
    return decoder.decode(new Uint8Array(bytes), { stream: true }) || "·";
  };
}
