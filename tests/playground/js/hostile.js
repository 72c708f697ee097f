// Stands between the playground and the network: answers a run itself, in pieces as small as a test
// likes, draws after each of them, and looks what the page has become.
const Real = WebSocket;
let socket;
let asked;
window.WebSocket = class extends Real {
  constructor(url) {
    super(url);
    socket = this;
  }
  send(text) {
    const frame = JSON.parse(text);
    if (frame.type === "run") asked = frame.id;
    else super.send(text);
  }
};
window.requestAnimationFrame = (draw) => {
  draw(performance.now());
  return 0;
};
performance.now = () => 0; // no drawing takes long enough to be put off

const TAGS = "p br hr strong em del code pre blockquote ul ol li h1 h2 h3 h4 h5 h6 table thead tbody tr th td a div span copy-button button svg use".split(" ");
const ATTRIBUTES = "href start align class rel target title tabindex data-language data-text data-testid dir from copied type aria-hidden aria-label role hidden focusable".split(" ");
const SUMMARY = { request_id: "req_1", finish_reason: "stop", outcome: "finished", balance_nanos: 1 };

const answer = () => document.querySelector("[data-testid=answer] [data-text]");
const outside = () => document.querySelectorAll("*").length - answer().querySelectorAll("*").length;

/** What is wrong with the answer as it stands. */
function wrong() {
  const found = [];
  for (const element of answer().querySelectorAll("*")) {
    const tag = element.localName;
    if (!TAGS.includes(tag)) found.push(`<${tag}>`);
    for (const { name, value } of element.attributes) {
      if (!ATTRIBUTES.includes(name)) found.push(`<${tag} ${name}>`);
      if (name !== "href") continue;
      const ours = tag === "use" && new URL(value, location.href).origin === location.origin;
      if (!ours && !/^(https?:\/\/|mailto:)/.test(value)) found.push(`${tag} leads to ${value}`);
    }
  }
  if (window.pwned !== undefined) found.push(`a script ran: ${window.pwned}`);
  return found;
}

function hear(frame) {
  socket.dispatchEvent(new MessageEvent("message", { data: JSON.stringify({ id: asked, ...frame }) }));
}

/** Streams an answer; what was wrong after any piece, and how the page looks at the end. */
function stream(pieces) {
  document.querySelector("#new-chat").click();
  document.querySelector("#composer textarea").value = "hello";
  document.querySelector("[data-testid=run]").click();
  hear({ type: "started", request_id: "req_1" });
  const before = outside();
  const found = new Set();
  const look = () => {
    for (const what of wrong()) found.add(what);
    if (outside() !== before) found.add("something stands outside the answer");
  };
  for (const text of pieces) {
    hear({ type: "delta", text });
    look();
  }
  const grown = uncoloured(answer());
  hear({ type: "finished", summary: SUMMARY, conversation: "conv_1" }); // kept: a new chat need not ask
  look();
  const over = document.documentElement.scrollWidth - innerWidth;
  if (over > 0) found.add(`${over} px wider than the screen`);
  return { found: [...found], grown, html: uncoloured(answer()) };
}

/** Colours of code come when their grammar is there; what may still change stands in a box. */
function uncoloured(element) {
  const copy = element.cloneNode(true);
  const box = copy.querySelector(".markdown-live");
  box?.replaceWith(...box.childNodes);
  for (const span of copy.querySelectorAll("pre span")) span.replaceWith(...span.childNodes);
  copy.normalize();
  return copy.innerHTML;
}

/** Cuts of a text: whole, by character (where there are few), and by chance, the same each time. */
function cuts(text) {
  const kinds = [[text]];
  if (text.length < 300) kinds.push(text.split(""));
  let chance = 7;
  for (let kind = 0; kind < 2; kind += 1) {
    const pieces = [];
    for (let at = 0; at < text.length; at += pieces.at(-1).length) {
      chance = (chance * 1103515245 + 12345) % 2147483648;
      pieces.push(text.slice(at, at + 1 + (chance % 23)));
    }
    kinds.push(pieces);
  }
  return kinds;
}

/** Everything that was wrong with an answer, however it was cut. */
window.harmOf = (text) => {
  const seen = cuts(text).map(stream);
  const found = new Set(seen.flatMap((each) => each.found));
  if (new Set(seen.map(({ grown }) => grown)).size > 1) found.add("it grows differently");
  if (new Set(seen.map(({ html }) => html)).size > 1) found.add("it ends differently");
  if (getComputedStyle(answer()).unicodeBidi !== "isolate") found.add("its direction spreads");
  return [...found];
};
