import assert from "node:assert/strict";
import { test } from "node:test";

import { matching } from "../../../static/js/playground/matching.js";

const COMMANDS = [
  { label: "Compare: one more pane" },
  { label: "starter", group: "Model" },
  { label: "Mine", group: "Preset" },
  { label: "Presets: save or open" },
];

/** @param {string} typed */
function labels(typed) {
  return matching(COMMANDS, typed).map(({ label }) => label);
}

test("without words everything is there", () => {
  assert.equal(labels(" ").length, COMMANDS.length);
});

test("every word has to fit, in any order, also the group", () => {
  assert.deepEqual(labels("starter model"), ["starter"]);
  assert.deepEqual(labels("pane more"), ["Compare: one more pane"]);
  assert.deepEqual(labels("nothing"), []);
});

test("what begins with the word stands first", () => {
  assert.deepEqual(labels("preset"), ["Presets: save or open", "Mine"]);
});
