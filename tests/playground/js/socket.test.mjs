import assert from "node:assert/strict";
import { test } from "node:test";

import { PlaygroundSocket } from "../../../static/js/playground/socket.js";

class FakeWebSocket extends EventTarget {
  readyState = 1;
  /** @type {any[]} */
  sent = [];

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close(code = 1006) {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.dispatchEvent(Object.assign(new Event("close"), { code }));
  }

  hear(frame) {
    this.dispatchEvent(Object.assign(new Event("message"), { data: JSON.stringify(frame) }));
  }
}

function rig() {
  const opened = [];
  const states = [];
  const frames = [];
  /** @type {{run: () => void, ms: number}[]} */
  const waiting = [];
  const socket = new PlaygroundSocket({
    url: "ws://localhost/ws/playground/",
    onFrame: (frame) => frames.push(frame),
    onState: (state) => states.push(state),
    open: () => {
      opened.push(new FakeWebSocket());
      return opened.at(-1);
    },
    later: (run, ms) => waiting.push({ run, ms }),
  });
  socket.connect();
  return { socket, opened, states, frames, waiting };
}

test("it is ready when the server says so, and hands frames on", () => {
  const { socket, opened, states, frames } = rig();
  assert.equal(socket.send({ type: "ping" }), false);
  opened[0].hear({ type: "ready", organisation: "org_1" });
  assert.deepEqual(states, ["ready"]);
  assert.equal(socket.send({ type: "run" }), true);
  assert.deepEqual(opened[0].sent, [{ type: "run" }]);
  opened[0].hear({ type: "delta", id: "r1", text: "a" });
  opened[0].hear({ type: "pong" });
  assert.deepEqual(
    frames.map((frame) => frame.type),
    ["ready", "delta"],
  );
});

test("it opens again after a loss, later each time, and soon again once it worked", () => {
  const { opened, states, waiting } = rig();
  const pauses = [];
  for (let attempt = 0; attempt < 3; attempt += 1) {
    opened.at(-1).close();
    const { run, ms } = waiting.pop();
    pauses.push(ms);
    run();
  }
  assert.equal(opened.length, 4);
  assert.ok(pauses[1] > pauses[0] * 1.1 && pauses[2] > pauses[1] * 1.1, String(pauses));
  opened.at(-1).hear({ type: "ready" });
  assert.deepEqual(states, ["lost", "ready"]);
  opened.at(-1).close();
  assert.ok(waiting.pop().ms < 700);
});

test("it does not try again when the session is over", () => {
  const { opened, states, waiting } = rig();
  opened[0].hear({ type: "ready" });
  const before = waiting.length;
  opened[0].close(4401);
  assert.deepEqual(states, ["ready", "turned-away"]);
  assert.equal(waiting.length, before);
});

test("a server that answers no ping is given up", () => {
  const { opened, states, waiting } = rig();
  opened[0].hear({ type: "ready" });
  waiting.find(({ ms }) => ms === 25_000).run();
  assert.deepEqual(opened[0].sent, [{ type: "ping" }]);
  const deadline = waiting.find(({ ms }) => ms === 10_000);
  deadline.run();
  assert.deepEqual(states, ["ready", "lost"]);
});

test("a server that takes the connection and says nothing is given up", () => {
  const { opened, states, waiting } = rig();
  waiting.shift().run();
  assert.equal(opened[0].readyState, 3);
  assert.deepEqual(states, ["lost"]);
  waiting.pop().run();
  opened[1].hear({ type: "ready" });
  assert.deepEqual(states, ["lost", "ready"]);
});

test("a network that is back is tried at once, whatever hangs in the one before", () => {
  const { socket, opened, states, waiting } = rig();
  socket.check();
  assert.equal(opened.length, 1, "the first try is under way");
  opened[0].close();
  waiting.pop().run();
  socket.check();
  assert.equal(opened.length, 3);
  assert.equal(opened[1].readyState, 3);
  opened[1].hear({ type: "ready" });
  opened[2].hear({ type: "ready" });
  assert.deepEqual(states, ["lost", "ready"]);
});

test("a connection that may have died meanwhile is asked at once, and given up when it says nothing", () => {
  const { socket, opened, states, waiting } = rig();
  opened[0].hear({ type: "ready" });
  socket.check();
  assert.deepEqual(opened[0].sent, [{ type: "ping" }]);
  opened[0].hear({ type: "pong" });
  assert.deepEqual(states, ["ready"]);
  socket.check();
  waiting.findLast(({ ms }) => ms === 10_000).run();
  assert.deepEqual(states, ["ready", "lost"]);
});

test("frames of an abandoned connection are not heard", () => {
  const { opened, frames, waiting } = rig();
  opened[0].hear({ type: "ready" });
  opened[0].close();
  waiting.pop().run();
  opened[0].hear({ type: "delta", id: "r1", text: "late" });
  assert.equal(frames.length, 1);
});
