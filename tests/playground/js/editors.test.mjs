import assert from "node:assert/strict";
import { test } from "node:test";

import { readObject } from "../../../static/js/playground/json.js";
import { checkArguments, checkSchema } from "../../../static/js/playground/json-field.js";
import { levelOf, percent, perplexity, speller, visible } from "../../../static/js/playground/probability.js";
import { filled, namesIn } from "../../../static/js/playground/variables.js";

test("an object is read", () => {
  const text = '{"a": [1, -2.5e3, "x\\n", true, null, {"b": {}}], "c": []}';
  assert.deepEqual(readObject(text), { value: JSON.parse(text) });
});

test("what is no object is refused", () => {
  assert.deepEqual(readObject(" "), { wrong: "empty" });
  for (const text of ["[1]", "7", "null", '"a"']) assert.deepEqual(readObject(text), { wrong: "object" });
});

test("a mistake is found where it is", () => {
  const cases = [
    ['{"a": 1,}', 1, 9],
    ['{\n  "a": tru\n}', 2, 8],
    ['{"a" 1}', 1, 6],
    ["{'a': 1}", 1, 2],
    ['{"a": [1, 2}', 1, 12],
    ['{"a": 01}', 1, 8],
    ['{"a": 1} x', 1, 10],
    ['{"a": "x\ny"}', 1, 7],
    ["{", 1, 2],
  ];
  for (const [text, line, column] of cases) {
    assert.deepEqual(readObject(text), { wrong: "json", line, column }, text);
  }
});

test("a schema that cannot be one is named", () => {
  assert.equal(checkSchema({ type: "object", properties: {}, required: [] }), "");
  assert.equal(checkSchema({ type: 7 }), "wrong_type");
  assert.equal(checkSchema({ properties: [] }), "wrong_properties");
  assert.equal(checkSchema({ required: "a" }), "wrong_required");
  assert.equal(checkSchema({ enum: "a" }), "wrong_enum");
  assert.equal(checkArguments({ type: "array" }), "wrong_arguments");
  assert.equal(checkArguments({}), "");
});

test("variables are found once, in their order, also in other scripts", () => {
  assert.deepEqual(namesIn(["{{b}} {{ a }}", "{{b}} {{名字}} {{1}} {{}} { {c} }"]), ["b", "a", "名字"]);
});

test("a value is put in as it is; a name without one stays", () => {
  assert.equal(filled("{{a}} {{ b }} {{c}}", { a: "$1 {{b}}", b: "" }), "$1 {{b}} {{ b }} {{c}}");
  assert.equal(filled("{{constructor}}", {}), "{{constructor}}");
});

test("probabilities are told in words of their own", () => {
  assert.deepEqual([0.95, 0.9, 0.5, 0.2, 0.01].map((p) => levelOf(Math.log(p))), [0, 0, 2, 3, 4]);
  assert.equal(percent(Math.log(0.5)), "50.0 %");
  assert.equal(percent(0), "100.00 %");
  assert.equal(percent(-20), "< 0.01 %");
  assert.equal(perplexity(Math.log(0.25)), "4.00");
  assert.equal(perplexity(-9999), "8.22e+307");
  assert.equal(visible(" a\n"), "␣a↵");
});

test("a character in parts is shown by the last of them", () => {
  const tokens = ["a", "bytes:\\xe4\\xbd", "bytes:\\xa0", "b"];
  assert.deepEqual(tokens.map(speller()), ["a", "·", "你", "b"]);
});
