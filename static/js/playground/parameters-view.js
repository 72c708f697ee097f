// The sampling parameters on the page: a value and often a slider each, checked as they change.
import { fill } from "./format.js";
import { read, show } from "./request.js";

/**
 * @typedef {object} Control
 * @property {import("./request.js").Parameter} parameter
 * @property {HTMLElement} field
 * @property {HTMLInputElement | HTMLTextAreaElement} input
 * @property {HTMLInputElement | null} slider
 */

export class ParametersView {
  /** @type {Control[]} */
  #controls = [];

  /**
   * @param {HTMLFormElement} form
   * @param {object} options
   * @param {Record<string, string>} options.texts
   * @param {() => void} options.onChange
   */
  constructor(form, { texts, onChange }) {
    this.texts = texts;
    this.onChange = onChange;
    this.resetAll = /** @type {HTMLButtonElement} */ (form.querySelector("#reset-all"));
    for (const field of form.querySelectorAll("[data-parameter]")) {
      this.#controls.push(this.#control(/** @type {HTMLElement} */ (field)));
    }
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", (event) => {
      event.preventDefault();
      this.set({});
    });
  }

  /** Those that were changed, or null when one of them cannot be sent. */
  get values() {
    /** @type {Record<string, number | string[]>} */
    const values = {};
    for (const { parameter, input } of this.#controls) {
      const { value, wrong } = read(parameter, input.value);
      if (wrong) return null;
      if (value !== undefined) values[parameter.name] = value;
    }
    return values;
  }

  /** Puts the cursor where something is wrong. */
  focusWrong() {
    const wrong = this.#controls.find((control) => read(control.parameter, control.input.value).wrong);
    wrong?.input.focus();
  }

  /** @param {Record<string, number | string[]>} values */
  set(values) {
    for (const control of this.#controls) {
      control.input.value = show(control.parameter, values[control.parameter.name]);
      this.#changed(control, control.input);
    }
  }

  /**
   * @param {HTMLElement} field
   * @returns {Control}
   */
  #control(field) {
    const { parameter: name, kind, initial, low, high } = field.dataset;
    const control = /** @type {Control} */ ({
      parameter: { name, kind, initial, low, high },
      field,
      input: field.querySelector("[data-value]"),
      slider: field.querySelector("[data-slider]"),
    });
    control.input.addEventListener("input", () => this.#changed(control, control.input));
    control.slider?.addEventListener("input", () => this.#changed(control, control.slider));
    field.querySelector("[data-reset]")?.addEventListener("click", () => {
      control.input.value = control.parameter.initial;
      this.#changed(control, control.input);
      control.input.focus();
    });
    return control;
  }

  /**
   * @param {Control} control
   * @param {HTMLInputElement | HTMLTextAreaElement | null} source the part that was moved
   */
  #changed({ parameter, field, input, slider }, source) {
    if (slider && source === slider) input.value = String(Number(slider.value));
    const { value, wrong } = read(parameter, input.value);
    if (slider && source === input && !wrong) slider.value = String(value ?? parameter.initial);
    const changed = value !== undefined || wrong !== undefined;
    /** @type {HTMLElement} */ (field.querySelector("[data-reset]")).hidden = !changed;
    input.setAttribute("aria-invalid", String(wrong !== undefined));
    const error = /** @type {HTMLElement} */ (field.querySelector("[data-error]"));
    error.textContent = wrong ? fill(this.texts[`wrong_${wrong}`], { ...parameter }) : "";
    error.hidden = !wrong;
    this.resetAll.disabled = !document.querySelector(
      "[data-reset]:not([hidden]), [data-reset-structure]:not([hidden])",
    );
    this.onChange();
  }
}
