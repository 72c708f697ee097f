import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, test } from "node:test";

import { ask } from "../../../static/js/playground/server.js";

/** @type {Record<string, [number, string]>} */
const ANSWERS = {
  "/list": [200, '{"presets": []}'],
  "/gone": [204, ""],
  "/refused": [400, '{"error": {"message": "It has no name."}}'],
  "/proxy": [502, "<h1>Bad Gateway</h1>"],
  "/cut": [200, '{"presets": ['],
};
const server = createServer((request, response) => {
  if (request.url === "/away") return void request.socket.destroy();
  const [status, body] = ANSWERS[request.url ?? ""];
  response.writeHead(status).end(body);
});
await new Promise((listening) => server.listen(0, "127.0.0.1", () => listening(null)));
after(() => server.close());
const site = `http://127.0.0.1:${/** @type {any} */ (server.address()).port}`;

test("what the server says is given on", async () => {
  assert.deepEqual(await ask(`${site}/list`), { presets: [] });
  assert.equal(await ask(`${site}/gone`), null);
});

test("a refusal is the server's sentence", async () => {
  await assert.rejects(ask(`${site}/refused`), { message: "It has no name." });
});

test("what is no answer of the server's has no sentence", async () => {
  for (const place of ["/away", "/proxy", "/cut"]) {
    await assert.rejects(ask(site + place), { message: "" }, place);
  }
});
