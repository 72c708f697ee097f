// The gallery of ready presets: cards below a heading for each group.

export class GalleryView {
  /**
   * @param {HTMLElement} place
   * @param {Record<string, any>[]} examples
   * @param {(example: Record<string, any>) => void} onChosen
   */
  constructor(place, examples, onChosen) {
    for (const example of examples) place.append(card(example, onChosen));
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
