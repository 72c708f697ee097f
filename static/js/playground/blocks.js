// Cuts Markdown that is still growing into blocks: the complete ones, which are rendered once and
// left alone, and those at the end, which the next words may still change.

/**
 * A block is complete when two more have begun: one is not enough, since a `2` that looks like a new
 * paragraph becomes the next item of the list before it once its full stop comes.
 */
const OPEN_BLOCKS = 2;

/**
 * @typedef {object} Blocks
 * @property {boolean} again whether what was complete is not so after all: begin with an empty page
 * @property {any[]} done tokens that became complete with this text
 * @property {any[]} open tokens at the end that may still change
 * @property {any} links the addresses that the text defines
 */

export class BlockReader {
  #text = "";
  /** Where each complete block ends in the text. @type {number[]} */
  #ends = [];

  /** @param {(text: string) => any} lex of marked: a list of tokens, with `links` */
  constructor(lex) {
    this.lex = lex;
  }

  /**
   * Cheap while the text grows; at its end the whole is read once, so that an answer that streamed
   * looks exactly like one that was loaded.
   * @param {string} raw
   * @param {boolean} complete
   * @returns {Blocks}
   */
  read(raw, complete) {
    // As marked does, or its lengths would not be those of the text.
    const text = raw.replace(/\r\n?/g, "\n");
    const another = !text.startsWith(this.#text);
    if (another) this.#ends = [];
    this.#text = text;
    return complete ? this.#whole(another) : this.#grown(another);
  }

  /** @param {boolean} again */
  #grown(again) {
    const tokens = this.lex(this.#text.slice(this.#ends.at(-1) ?? 0));
    const done = tokens.slice(0, firstOpen(tokens));
    this.#freeze(done);
    return { again, done, open: tokens.slice(done.length), links: tokens.links };
  }

  /** @param {boolean} another */
  #whole(another) {
    const tokens = this.lex(this.#text);
    const before = this.#ends;
    this.#ends = [];
    this.#freeze(tokens);
    const same = before.every((end, index) => end === this.#ends[index]);
    // An address may be defined after the block that uses it.
    const again = another || !same || Object.keys(tokens.links).length > 0;
    const done = again ? tokens : tokens.slice(before.length);
    return { again, done, open: [], links: tokens.links };
  }

  /** @param {any[]} tokens */
  #freeze(tokens) {
    let end = this.#ends.at(-1) ?? 0;
    for (const token of tokens) this.#ends.push((end += token.raw.length));
  }
}

/** @param {any[]} tokens */
function firstOpen(tokens) {
  let blocks = 0;
  for (let index = tokens.length - 1; index >= 0; index -= 1) {
    if (tokens[index].type !== "space") blocks += 1;
    if (blocks === OPEN_BLOCKS) return index;
  }
  return 0;
}
