// A shared conversation: its answers as Markdown; without scripts they stand there as plain text.
import { MarkdownView } from "./markdown.js";

for (const place of document.querySelectorAll("[data-markdown]")) {
  const text = place.textContent ?? "";
  place.replaceChildren();
  new MarkdownView(/** @type {HTMLElement} */ (place)).update(text, true);
}
