// Probabilities, the form of an answer, and tools: the parameters that are more than a number.
import { checkSchema, JsonField } from "./json-field.js";
import { ToolEditor } from "./tool-editor.js";

const EXAMPLE = {
  type: "object",
  properties: { title: { type: "string" }, year: { type: "integer" } },
  required: ["title", "year"],
  additionalProperties: false,
};
const NAME = "answer";

export class StructureView {
  /**
   * @param {HTMLElement} place
   * @param {Record<string, string>} texts
   * @param {() => void} onChange
   */
  constructor(place, texts, onChange) {
    /** @param {string} name @returns {any} */
    const part = (name) => place.querySelector(`[data-structure=${name}]`);
    this.place = place;
    this.logprobs = part("logprobs");
    this.top = part("top");
    this.format = part("format");
    this.strict = part("strict");
    this.schemaPart = part("schema-part");
    this.choice = part("choice");
    this.choicePart = part("choice-part");
    this.schema = new JsonField(part("schema"), part("schema-error"), texts, checkSchema);
    this.tools = new ToolEditor(place, texts, () => this.#changed());
    this.onChange = onChange;
    this.format.addEventListener("change", () => this.#formatChosen());
    place.addEventListener("change", () => this.#changed());
    place.addEventListener("click", (event) => this.#reset(event));
  }

  /** Those that were changed, or null when one of them cannot be sent. */
  get values() {
    const tools = this.tools.read();
    const schema = this.format.value === "json_schema" ? this.schema.validate() : {};
    if (tools === null || schema === null) return null;
    return {
      ...(this.logprobs.checked && { logprobs: true, top_logprobs: Number(this.top.value) }),
      ...(this.format.value !== "text" && { response_format: this.#format(schema) }),
      ...(tools.length > 0 && { tools }),
      ...(tools.length > 0 && this.choice.value !== "auto" && { tool_choice: this.#choice() }),
    };
  }

  focusWrong() {
    if (this.format.value === "json_schema" && this.schema.validate() === null) {
      this.schema.area.focus();
    } else this.tools.focusWrong();
  }

  /** @param {Record<string, any>} parameters */
  set(parameters) {
    const { logprobs = false, top_logprobs: top = 5, response_format: format, tools = [] } = parameters;
    this.logprobs.checked = logprobs;
    this.top.value = String(top);
    this.format.value = format?.type ?? "text";
    this.strict.checked = format?.json_schema?.strict ?? true;
    this.schema.set(format?.json_schema?.schema ?? EXAMPLE);
    this.tools.set(tools);
    this.#offerChoices(tools);
    const choice = parameters.tool_choice ?? "auto";
    this.choice.value = typeof choice === "string" ? choice : `=${choice.function.name}`;
    this.#changed();
  }

  /**
   * What the server has against a field.
   * @param {string} param
   * @param {string} message
   */
  complain(param, message) {
    const tool = /^parameters\.tools\[(\d+)\]/.exec(param);
    if (tool) this.tools.complain(Number(tool[1]), message);
    if (param.startsWith("parameters.response_format")) this.schema.complain(message);
  }

  #formatChosen() {
    if (this.format.value === "json_schema") this.schema.validate();
  }

  #changed() {
    this.schemaPart.hidden = this.format.value !== "json_schema";
    this.top.disabled = !this.logprobs.checked;
    const values = this.values;
    if (values) this.#offerChoices(values.tools ?? []);
    const changed = {
      logprobs: this.logprobs.checked,
      format: this.format.value !== "text",
      tools: this.place.querySelector("[data-tools]")?.childElementCount,
    };
    for (const [name, isSet] of Object.entries(changed)) {
      const button = this.place.querySelector(`[data-reset-structure=${name}]`);
      /** @type {HTMLElement} */ (button).hidden = !isSet;
    }
    this.onChange();
  }

  /** @param {Event} event */
  #reset(event) {
    const button = /** @type {Element} */ (event.target).closest("[data-reset-structure]");
    if (!button) return;
    const name = /** @type {HTMLElement} */ (button).dataset.resetStructure;
    if (name === "logprobs") this.logprobs.checked = false;
    if (name === "format") this.format.value = "text";
    if (name === "tools") this.tools.set([]);
    this.#changed();
    const next = { logprobs: this.logprobs, format: this.format, tools: this.tools.adder };
    next[/** @type {"logprobs"} */ (name)].focus(); // the button has hidden itself
  }

  /** @param {Record<string, any>} schema */
  #format(schema) {
    if (this.format.value === "json_object") return { type: "json_object" };
    const strict = this.strict.checked;
    return { type: "json_schema", json_schema: { name: NAME, schema, ...(strict && { strict }) } };
  }

  #choice() {
    const { value } = this.choice;
    if (!value.startsWith("=")) return value;
    return { type: "function", function: { name: value.slice(1) } };
  }

  /** @param {import("./tool-editor.js").Tool[]} tools */
  #offerChoices(tools) {
    this.choicePart.hidden = tools.length === 0;
    const chosen = this.choice.value;
    for (const option of [...this.choice.options].slice(3)) option.remove();
    for (const tool of tools) {
      const { name } = tool.function;
      this.choice.append(new Option(name, `=${name}`));
    }
    this.choice.value = chosen;
    if (this.choice.selectedIndex < 0) this.choice.value = "auto";
  }
}
