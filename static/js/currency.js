// The sign of US dollars in the page's language: `$`, in Chinese `US$`. The server's agrees.

/** @returns {string} */
export function dollarSign() {
  const language = globalThis.document?.documentElement.lang || "en";
  const format = new Intl.NumberFormat(language, { style: "currency", currency: "USD" });
  return format.formatToParts(0).find(({ type }) => type === "currency")?.value ?? "$";
}
