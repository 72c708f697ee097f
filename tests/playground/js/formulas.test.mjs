import assert from "node:assert/strict";
import { test } from "node:test";

import { formulas } from "../../../static/js/playground/formulas.js";
import { Marked } from "../../../static/js/vendor/marked.js";

const marked = new Marked({ gfm: true });
marked.use({ extensions: formulas });

/**
 * The formulas that a text is read to have, as they are written.
 * @param {string} text
 */
function found(text) {
  const html = marked.parser(marked.lexer(text));
  return [...html.matchAll(/<mtext>(.*?)<\/mtext>/gs)].map(([, written]) => decoded(written));
}

/** @param {string} html */
function decoded(html) {
  return html.replace(/&#(\d+);/g, (_, code) => String.fromCharCode(code));
}

for (const [text, ...written] of [
  ["so \\(a_1 + b_1\\), and \\(c\\)", "\\(a_1 + b_1\\)", "\\(c\\)"],
  ["so $a_1*b_1*c$ is", "$a_1*b_1*c$"],
  ["$x$", "$x$"],
  ["**$x$** and | $-1$", "$x$", "$-1$"],
  ["in $2x + 1 = 5$, say", "$2x + 1 = 5$"],
  ["so:\n\\[\na < b\n\\]\nand", "\\[\na < b\n\\]"],
  ["so:\n\n$$\\frac{a}{b}$$", "$$\\frac{a}{b}$$"],
  ["so $$a$$ and \\[b\\] here", "$$a$$", "\\[b\\]"],
  ["1. First\n   \\[ a \\]\n2. Second \\(b\\)", "\\[ a \\]", "\\(b\\)"],
  ["> \\[ a \\]", "\\[ a \\]"],
  ["| a | b |\n|---|---|\n| $x$ | \\(y\\) |", "$x$", "\\(y\\)"],
  ["- \\(a\\): one\n- \\(b\\): two", "\\(a\\)", "\\(b\\)"],
  ["a [link with $x$](https://good.example)", "$x$"],
]) {
  test(`formulas of ${JSON.stringify(text)}`, () => assert.deepEqual(found(text), written));
}

for (const text of [
  "between $5 and $10",
  "$5-$10, US$5, CA$6",
  "$5 for one and 10$ for two",
  "it costs 5$ or 6$",
  "from $1,000.50 each to 2$",
  "$HOME/$PATH and $USER",
  "an escaped \\$x$ and $x\\$",
  "`$x$` and `\\(x\\)`",
  "```\n$$x$$\n\\[ y \\]\n```",
  "    $$indented code$$",
  "$ x $",
  "$$\n\n$$",
  "\\( \\)",
  "\\[ never closed",
  "\\[ one\n\nanother \\]",
  "$x\ny$",
]) {
  test(`no formula in ${JSON.stringify(text)}`, () => assert.deepEqual(found(text), []));
}

test("what is around a formula stays", () => {
  const html = marked.parser(marked.lexer("Before:\n\\[ a \\]\nafter *it* and $b$."));
  assert.equal(html.replace(/<math>.*?<\/math>/g, "F"), "<p>Before:</p>\nF<p>after <em>it</em> and F.</p>\n");
});

test("signs of HTML in a formula are text", () => {
  assert.match(marked.parser(marked.lexer("$a<b>c$")), /<mtext>\$a&#60;b&#62;c\$<\/mtext>/);
});

test("many beginnings without an end take no time", () => {
  const began = performance.now();
  marked.lexer("\\[ $a \\( $$ ".repeat(5_000));
  assert.ok(performance.now() - began < 5_000);
});
