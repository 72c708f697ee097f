// What an empty chat offers: things to say, and the gallery of ready presets.

export class GalleryView {
  /**
   * @param {HTMLElement} place
   * @param {Record<string, any>[]} examples
   * @param {object} tell
   * @param {(example: Record<string, any>) => void} tell.onChosen
   * @param {(text: string) => void} tell.onSaid
   */
  constructor(place, examples, { onChosen, onSaid }) {
    const list = place.querySelector("#gallery");
    for (const example of examples) list?.append(card(example, onChosen));
    for (const starter of place.querySelectorAll("[data-starter]")) {
      starter.addEventListener("click", () => onSaid(starter.textContent?.trim() ?? ""));
    }
  }
}

/**
 * @param {Record<string, any>} example
 * @param {(example: Record<string, any>) => void} onChosen
 */
function card(example, onChosen) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "starter";
  button.dataset.example = example.title;
  const group = Object.assign(document.createElement("span"), { textContent: example.group });
  group.className = "small muted";
  const title = Object.assign(document.createElement("strong"), { textContent: example.title });
  button.append(group, title);
  button.addEventListener("click", () => onChosen(example));
  item.append(button);
  return item;
}
