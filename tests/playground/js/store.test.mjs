import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { ChatStore } from "../../../static/js/playground/store.js";

let now;
let frames;
let timers;

beforeEach(() => {
  [now, frames, timers] = [0, [], []];
  globalThis.document = { hidden: false };
  globalThis.requestAnimationFrame = (draw) => frames.push(draw);
  globalThis.setTimeout = (run, ms) => timers.push({ run, ms });
  performance.now = () => now;
});

function drawn() {
  for (const draw of frames.splice(0)) draw();
}

/** A store whose listener takes so long; what it was told. */
function storeOf(tookMs) {
  const store = new ChatStore();
  const told = [];
  store.subscribe((chat) => {
    now += tookMs;
    told.push(chat.turns.length);
  });
  return { store, told };
}

test("changes between two frames are told once", () => {
  const { store, told } = storeOf(2);
  store.apply({ type: "say", content: "a" });
  store.apply({ type: "say", content: "b" });
  drawn();
  assert.deepEqual(told, [2]);
  store.apply({ type: "say", content: "c" });
  assert.equal(frames.length, 1);
});

test("a drawing that took long is followed by a rest thrice as long", () => {
  const { store, told } = storeOf(40);
  store.apply({ type: "say", content: "a" });
  drawn();
  store.apply({ type: "say", content: "b" });
  store.apply({ type: "say", content: "c" });
  assert.deepEqual([frames.length, timers.length, timers[0].ms], [0, 1, 120]);
  timers[0].run();
  drawn();
  assert.deepEqual(told, [1, 3]);
});

test("a hidden page is told without frames", () => {
  const { store, told } = storeOf(2);
  document.hidden = true;
  store.apply({ type: "say", content: "a" });
  timers[0].run();
  assert.deepEqual(told, [1]);
});
