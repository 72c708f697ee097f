// After a lost connection: what the server kept of the answer, and what it billed.
import { flat } from "./state.js";

/** The server settles at once when it sees the hang-up, and sees a dead line within a minute. */
const PAUSES_MS = [500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000];

/**
 * @param {string} url of the answer
 * @param {object} [tools] for tests
 * @param {(url: string) => Promise<Response>} [tools.get]
 * @param {(ms: number) => Promise<void>} [tools.pause]
 * @returns {Promise<{conversation: string, content: string, calls: import("./state.js").Call[], summary: Record<string, any>} | null>}
 */
export async function findAnswer(url, { get = ask, pause = sleep } = {}) {
  for (const ms of PAUSES_MS) {
    try {
      const response = await get(url);
      const isRefused = response.status >= 400 && response.status < 500;
      if (isRefused || response.type === "opaqueredirect") return null;
      // While the server starts again, a proxy before it answers for it.
      const { answer } = response.ok ? await response.json() : { answer: null };
      if (answer) return { ...answer, calls: (answer.tool_calls ?? []).map(flat) };
    } catch {
      // Offline still; try again.
    }
    await pause(ms);
  }
  return null;
}

/** @param {string} url */
function ask(url) {
  return fetch(url, { redirect: "manual" }); // as `server.js`
}

/** @param {number} ms */
function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
