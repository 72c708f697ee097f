// The settings at the side: model, system prompt and parameters of the pane that is at hand.
import { fill } from "./format.js";
import { ParametersView } from "./parameters-view.js";
import { StructureView } from "./structure-view.js";

export class SettingsView {
  #showing = false;

  /**
   * @param {object} parts
   * @param {HTMLElement} parts.panel
   * @param {HTMLSelectElement} parts.model
   * @param {HTMLElement} parts.price
   * @param {Record<string, string>} parts.texts
   * @param {() => void} parts.onChange
   */
  constructor({ panel, model, price, texts, onChange }) {
    this.panel = panel;
    this.model = model;
    this.price = price;
    this.texts = texts;
    const changed = () => this.#showing || onChange();
    this.system = /** @type {HTMLTextAreaElement} */ (panel.querySelector("#system"));
    const form = /** @type {HTMLFormElement} */ (panel.querySelector("#parameters"));
    this.parameters = new ParametersView(form, { texts, onChange: changed });
    const structure = /** @type {HTMLElement} */ (panel.querySelector("#structure"));
    this.structure = new StructureView(structure, texts, changed);
    this.system.addEventListener("input", changed);
    form.addEventListener("reset", () => this.structure.set({}));
    model.addEventListener("change", () => {
      this.#showPrice();
      changed();
    });
  }

  /** @returns {import("./request.js").Settings | null} null when something cannot be sent */
  read() {
    const [plain, rest] = [this.parameters.values, this.structure.values];
    if (plain === null || rest === null) return null;
    return {
      model: this.model.value,
      system: this.system.value,
      parameters: { ...plain, ...rest },
    };
  }

  /** Where there is room they stand at the side already. */
  open() {
    if (!this.panel.checkVisibility()) this.panel.showPopover();
  }

  /** Puts the cursor where something is wrong. */
  focusWrong() {
    this.open();
    if (this.parameters.values === null) this.parameters.focusWrong();
    else this.structure.focusWrong();
  }

  /** @param {import("./request.js").Settings} settings */
  show({ model, system, parameters }) {
    this.#showing = true;
    // A model that is gone, or not this person's, leaves the first one.
    if ([...this.model.options].some((option) => option.value === model)) this.model.value = model;
    this.system.value = system;
    this.parameters.set(parameters);
    this.structure.set(parameters);
    this.#showPrice();
    this.#showing = false;
  }

  /**
   * @param {"chat" | "completion"} mode a model without a chat template only completes
   */
  modeIs(mode) {
    for (const option of this.model.options) {
      option.disabled = option.hidden = mode === "chat" && option.dataset.chat !== "true";
    }
    if (this.model.selectedOptions[0]?.disabled) {
      const offered = [...this.model.options].filter((option) => !option.disabled);
      this.model.value = (offered.find((option) => !option.dataset.paused) ?? offered[0])?.value ?? "";
      this.model.dispatchEvent(new Event("change"));
    }
  }

  #showPrice() {
    const chosen = this.model.selectedOptions[0];
    const price = chosen ? fill(this.texts.price, /** @type {Record<string, string>} */ ({ ...chosen.dataset })) : "";
    this.price.textContent = this.model.title = price;
  }
}
