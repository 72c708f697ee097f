// How numbers of the server are written. Money is integer nanos (1e-9 $), printed exactly.
import { dollarSign } from "../currency.js";

const NANOS = 1_000_000_000n;
const SMALLEST_ROUNDED = 100_000n;
const NOTHING = "–";

/**
 * Every digit there is, at least two: `$0.0000254`, `$12.00`; in Chinese `US$12.00`.
 * @param {number | bigint | null | undefined} nanos
 */
export function dollars(nanos) {
  if (nanos === null || nanos === undefined) return NOTHING;
  const amount = BigInt(nanos);
  const size = amount < 0n ? -amount : amount;
  const decimals = (size % NANOS).toString().padStart(9, "0").replace(/0{1,7}$/, "");
  return `${amount < 0n ? "-" : ""}${dollarSign()}${group(size / NANOS)}.${decimals}`;
}

/**
 * At most four decimals, rounded down so that no balance looks larger than it is; the pages' filter
 * of the same name agrees.
 * @param {number} nanos
 */
export function balance(nanos) {
  const amount = BigInt(nanos);
  return dollars(amount < SMALLEST_ROUNDED ? amount : amount - (amount % SMALLEST_ROUNDED));
}

/** @param {bigint} whole */
function group(whole) {
  return whole.toString().replace(/\B(?=(\d{3})+$)/g, ",");
}

/** @param {number | null | undefined} count */
export function count(count) {
  return count === null || count === undefined ? NOTHING : group(BigInt(count));
}

/** @param {number | null | undefined} ms */
export function duration(ms) {
  if (ms === null || ms === undefined) return NOTHING;
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

/** @param {number | null | undefined} rate */
export function rate(rate) {
  if (rate === null || rate === undefined) return NOTHING;
  return rate < 100 ? rate.toFixed(1) : group(BigInt(Math.round(rate)));
}

/**
 * A sentence with its `{names}` filled in.
 * @param {string} sentence
 * @param {Record<string, string>} values
 */
export function fill(sentence, values) {
  return sentence.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}
