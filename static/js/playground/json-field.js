// A text area for a JSON object: says where it is wrong while one types.
import { fill } from "./format.js";
import { readObject } from "./json.js";

export class JsonField {
  /**
   * @param {HTMLTextAreaElement} area
   * @param {HTMLElement} error where its mistake is said
   * @param {Record<string, string>} texts
   * @param {(value: Record<string, any>) => string} [check] the name of a sentence, or nothing
   */
  constructor(area, error, texts, check = () => "") {
    this.area = area;
    this.error = error;
    this.texts = texts;
    this.check = check;
    area.addEventListener("input", () => this.validate());
  }

  /** @returns {Record<string, any> | null} the object, or null when it is none */
  validate() {
    const read = readObject(this.area.value);
    if ("value" in read) {
      const problem = this.check(read.value);
      this.complain(problem && this.texts[problem]);
      return problem ? null : read.value;
    }
    const { wrong, ...place } = read;
    const where = Object.fromEntries(Object.entries(place).map(([k, v]) => [k, String(v)]));
    this.complain(fill(this.texts[`wrong_${wrong}`], where));
    return null;
  }

  /** @param {string} sentence */
  complain(sentence) {
    this.error.textContent = sentence;
    this.error.hidden = sentence === "";
    this.area.setAttribute("aria-invalid", String(sentence !== ""));
  }

  /** @param {Record<string, any> | undefined} value */
  set(value) {
    this.area.value = value === undefined ? "" : JSON.stringify(value, null, 2);
    this.complain("");
  }
}

/**
 * What a JSON schema may not lack or be, as far as a page can tell; the engine has the last word.
 * @param {Record<string, any>} schema
 */
export function checkSchema(schema) {
  const { type, properties, required, enum: choices } = schema;
  const isObject = (/** @type {any} */ it) => typeof it === "object" && !Array.isArray(it);
  if (type !== undefined && typeof type !== "string" && !Array.isArray(type)) return "wrong_type";
  if (properties !== undefined && !isObject(properties)) return "wrong_properties";
  if (required !== undefined && !Array.isArray(required)) return "wrong_required";
  if (choices !== undefined && !Array.isArray(choices)) return "wrong_enum";
  return "";
}

/**
 * The arguments of a tool are always an object.
 * @param {Record<string, any>} schema
 */
export function checkArguments(schema) {
  return (schema.type ?? "object") === "object" ? checkSchema(schema) : "wrong_arguments";
}
