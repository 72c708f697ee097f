import assert from "node:assert/strict";
import { test } from "node:test";

import { BlockReader } from "../../../static/js/playground/blocks.js";
import { Marked } from "../../../static/js/vendor/marked.js";

const marked = new Marked({ gfm: true });
const lex = (text) => marked.lexer(text);

/** @param {string} text */
function whole(text) {
  return rendered(lex(text));
}

/** @param {any} tokens */
function rendered(tokens, links = tokens.links) {
  return tokens
    .filter((token) => token.type !== "space")
    .map((token) => marked.parser(Object.assign([token], { links })))
    .join("");
}

/**
 * What a page shows after each piece, the last time with the answer complete.
 * @param {string[]} pieces
 */
function streamed(pieces) {
  const reader = new BlockReader(lex);
  let [kept, text] = ["", ""];
  const shown = [];
  for (const [index, piece] of [...pieces, ""].entries()) {
    text += piece;
    const { again, done, open, links } = reader.read(text, index === pieces.length);
    kept = (again ? "" : kept) + rendered(done, links);
    shown.push(kept + rendered(open, links));
  }
  return shown;
}

test("a complete block is handed out once", () => {
  const reader = new BlockReader(lex);
  assert.deepEqual(reader.read("# one\n\ntwo", false).done, []);
  const texts = ({ done }) => done.map((token) => token.raw).filter((raw) => raw.trim() !== "");
  assert.deepEqual(texts(reader.read("# one\n\ntwo\n\nthree", false)), ["# one"]);
  assert.deepEqual(texts(reader.read("# one\n\ntwo\n\nthree\n", false)), []);
  assert.deepEqual(texts(reader.read("# one\n\ntwo\n\nthree\n", true)).at(-1), "three\n");
});

test("a list whose number comes in two pieces stays one list", () => {
  const pieces = ["1. one\n\n", "2", ".", " two\n\n", "3", ". three"];
  const shown = streamed(pieces);
  assert.equal(shown.at(-2), whole(pieces.join("")));
  assert.equal(shown.at(-1), whole(pieces.join("")));
});

test("no line ending shows a piece of the text twice", () => {
  const text = "one\r\n\r\ntwo\r\rthree\r\n\r\nfour\r\n";
  assert.equal(streamed([...text]).at(-1), whole(text));
  assert.equal(streamed([...text]).at(-2), whole(text));
});

test("an address that is defined at the end is there when the answer is complete", () => {
  const pieces = ["see [this]\n\n", "two\n\n", "three\n\n", "[this]: https://example.com\n"];
  assert.equal(streamed(pieces).at(-1), whole(pieces.join("")));
});

test("a complete answer that turns out longer is shown as a whole", () => {
  const reader = new BlockReader(lex);
  reader.read("Hel", true);
  const { again, done } = reader.read("Hello", true);
  assert.equal(again, true);
  assert.equal(rendered(done, {}), "<p>Hello</p>\n");
});

test("whatever streams looks in the end as if it had been loaded", () => {
  const words = [
    "word ", "b", "\n", "\n\n", "\r\n", "1", ".", "2. y", "- ", "*", "# h", "> q", "```\ncode\n```",
    "```\n", "|a|b|\n|-|-|\n|1|2|\n", "---", "    in", "**bold**", "[a](b)", "[a]", "[a]: b\n", "<b>",
  ];
  let seed = 1;
  const random = (below) => (seed = (seed * 48_271) % 2_147_483_647) % below;
  for (let round = 0; round < 3_000; round += 1) {
    const pieces = Array.from({ length: 2 + random(14) }, () => words[random(words.length)]);
    assert.equal(streamed(pieces).at(-1), whole(pieces.join("")), JSON.stringify(pieces));
  }
});
