// The tools that a model may call: a name, a description and a schema of the arguments each.
import { checkArguments, JsonField } from "./json-field.js";

const NAME = /^[a-zA-Z0-9_-]{1,64}$/;
const EXAMPLE = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};

/** @typedef {{type: "function", function: Record<string, any>}} Tool */

export class ToolEditor {
  /** @type {{element: HTMLElement, name: HTMLInputElement, about: HTMLInputElement, strict: HTMLInputElement, error: HTMLElement, schema: JsonField, isTold: boolean}[]} */
  #items = [];

  /**
   * @param {HTMLElement} place
   * @param {Record<string, string>} texts
   * @param {() => void} onChange
   */
  constructor(place, texts, onChange) {
    this.list = /** @type {HTMLElement} */ (place.querySelector("[data-tools]"));
    this.texts = texts;
    this.onChange = onChange;
    this.adder = /** @type {HTMLElement} */ (place.querySelector("[data-add-tool]"));
    this.adder.addEventListener("click", () => {
      this.#add({ name: "", parameters: EXAMPLE, strict: true }).name.focus();
      onChange();
    });
  }

  /** @returns {Tool[] | null} null when one of them cannot be sent */
  read() {
    const names = this.#items.map((item) => item.name.value);
    let wrong = false;
    const tools = this.#items.map((item, at) => {
      const schema = item.schema.validate();
      const name = item.name.value;
      const problem = !NAME.test(name) ? "wrong_name" : names.indexOf(name) !== at ? "wrong_twice" : "";
      this.#complain(item, item.isTold && problem ? this.texts[problem] : "");
      wrong ||= problem !== "" || schema === null;
      return asTool(name, item.about.value, schema, item.strict.checked);
    });
    return wrong ? null : tools;
  }

  /** Says what is wrong, of names that nobody has typed yet as well. */
  focusWrong() {
    for (const item of this.#items) item.isTold = true;
    this.read();
    const wrong = this.list.querySelector("[aria-invalid=true]");
    if (wrong instanceof HTMLElement) wrong.focus();
    return wrong !== null;
  }

  /** @param {Tool[]} tools */
  set(tools) {
    for (const { element } of this.#items) element.remove();
    this.#items = [];
    for (const tool of tools) this.#add(tool.function);
  }

  /**
   * What the server has against one of them.
   * @param {number} at
   * @param {string} message
   */
  complain(at, message) {
    this.#items[at]?.schema.complain(message);
  }

  /** @param {Record<string, any>} tool */
  #add(tool) {
    const template = /** @type {HTMLTemplateElement} */ (document.getElementById("tool-template"));
    const element = /** @type {HTMLElement} */ (
      /** @type {Element} */ (template.content.firstElementChild).cloneNode(true)
    );
    /** @param {string} name @returns {any} */
    const part = (name) => element.querySelector(`[data-tool=${name}]`);
    const schema = new JsonField(part("schema"), part("schema-error"), this.texts, checkArguments);
    const item = {
      element, schema, name: part("name"), about: part("about"), strict: part("strict"), error: part("error"),
      isTold: tool.name !== "", // a new tool has no name to complain of
    };
    item.name.value = tool.name;
    item.about.value = tool.description ?? "";
    item.strict.checked = tool.strict ?? false;
    schema.set(tool.parameters ?? { type: "object", properties: {} });
    part("remove").addEventListener("click", () => this.#remove(item));
    item.name.addEventListener("input", () => {
      item.isTold = true;
    });
    element.addEventListener("input", () => this.onChange());
    this.#items.push(item);
    this.list.append(element);
    return item;
  }

  /** @param {any} item */
  #remove(item) {
    item.element.remove();
    this.#items = this.#items.filter((other) => other !== item);
    this.adder.focus();
    this.onChange();
  }

  /**
   * @param {any} item
   * @param {string} sentence
   */
  #complain(item, sentence) {
    item.error.textContent = sentence;
    item.error.hidden = sentence === "";
    item.name.setAttribute("aria-invalid", String(sentence !== ""));
  }
}

/**
 * @param {string} name
 * @param {string} description
 * @param {Record<string, any> | null} parameters
 * @param {boolean} strict
 * @returns {Tool}
 */
function asTool(name, description, parameters, strict) {
  return {
    type: "function",
    function: {
      name,
      ...(description && { description }),
      ...(parameters && { parameters }),
      ...(strict && { strict }),
    },
  };
}
