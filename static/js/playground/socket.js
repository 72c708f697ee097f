// The connection to `/ws/playground/`: opens, notices when it is dead, opens again.

const PING_EVERY_MS = 25_000;
const PONG_WITHIN_MS = 10_000;
/** A machine that takes connections and says nothing would hold the page for minutes. */
const READY_WITHIN_MS = 15_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;
/** The server takes this person no more, and has said why; trying again would not help. */
const UNAUTHORIZED = 4401;

/** @typedef {"connecting" | "ready" | "lost" | "turned-away"} Connection */

export class PlaygroundSocket {
  /** @type {WebSocket | null} */
  #socket = null;
  #pause = FIRST_PAUSE_MS;
  /** @type {Connection} */
  state = "connecting";
  #pinging = 0;
  #deadline = 0;

  /**
   * @param {object} options
   * @param {string} options.url
   * @param {(frame: Record<string, any>) => void} options.onFrame
   * @param {(state: Connection) => void} options.onState
   * @param {(url: string) => WebSocket} [options.open] for tests
   * @param {(run: () => void, ms: number) => any} [options.later] for tests
   */
  constructor({ url, onFrame, onState, open, later }) {
    this.url = url;
    this.onFrame = onFrame;
    this.onState = onState;
    this.open = open ?? ((at) => new WebSocket(at));
    this.later = later ?? ((run, ms) => setTimeout(run, ms));
  }

  connect() {
    const socket = this.open(this.url);
    this.#socket = socket;
    socket.addEventListener("message", (event) => this.#hear(socket, event.data));
    socket.addEventListener("close", (event) => this.#closed(socket, event.code));
    this.#hearWithin(socket, READY_WITHIN_MS);
  }

  /**
   * @param {Record<string, any>} frame
   * @returns {boolean} whether it was handed to the network
   */
  send(frame) {
    if (this.state !== "ready" || this.#socket?.readyState !== 1) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  /**
   * The network may have changed, or the machine slept: ask now whether the other side is still
   * there, or try again now, without waiting for what was tried over another network.
   */
  check() {
    if (this.#socket !== null && this.state === "ready") this.#ping(this.#socket);
    if (this.state !== "lost") return;
    const hanging = this.#socket;
    this.connect();
    hanging?.close();
  }

  /**
   * @param {WebSocket} socket
   * @param {string} data
   */
  #hear(socket, data) {
    if (socket !== this.#socket) return;
    clearTimeout(this.#deadline);
    const frame = JSON.parse(data);
    if (frame.type === "ready") {
      this.#pause = FIRST_PAUSE_MS;
      this.#become("ready");
      this.#keepAlive(socket);
    }
    if (frame.type !== "pong") this.onFrame(frame);
  }

  /** @param {WebSocket} socket */
  #keepAlive(socket) {
    clearTimeout(this.#pinging);
    this.#pinging = this.later(() => this.#ping(socket), PING_EVERY_MS);
  }

  /** @param {WebSocket} socket */
  #ping(socket) {
    if (!this.send({ type: "ping" })) return;
    this.#hearWithin(socket, PONG_WITHIN_MS);
    this.#keepAlive(socket);
  }

  /**
   * @param {WebSocket} socket
   * @param {number} ms
   */
  #hearWithin(socket, ms) {
    clearTimeout(this.#deadline);
    this.#deadline = this.later(() => {
      // `close` alone may wait a minute for the other side.
      socket.close();
      this.#closed(socket, 1006);
    }, ms);
  }

  /**
   * @param {WebSocket} socket
   * @param {number} code
   */
  #closed(socket, code) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    clearTimeout(this.#pinging);
    clearTimeout(this.#deadline);
    if (code === UNAUTHORIZED) {
      this.#become("turned-away");
      return;
    }
    this.#become("lost");
    const pause = this.#pause * (0.75 + Math.random() / 2); // not all pages at once
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE_MS);
    this.later(() => this.#again(), pause);
  }

  #again() {
    if (this.#socket === null && this.state === "lost") this.connect();
  }

  /** @param {Connection} state */
  #become(state) {
    if (state === this.state) return;
    this.state = state;
    this.onState(state);
  }
}

/**
 * A network that changed, or a machine or a tab that slept, tells no socket.
 * @param {() => void} look
 */
export function whenItMayHaveDied(look) {
  window.addEventListener("online", look);
  window.addEventListener("offline", look);
  document.addEventListener("visibilitychange", () => document.hidden || look());
}
