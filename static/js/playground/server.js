// Asking the server beside the socket: JSON in, JSON out, and a sentence when it does not work.
// Redirects are not followed: they lead whoever may not ask to a page, which is for a person to open.

/**
 * What a form of this page would send.
 * @param {string} name
 * @returns {string}
 */
function hidden(name) {
  return document.querySelector(`[name=${name}]`)?.getAttribute("value") ?? "";
}

/** @returns {Record<string, string>} who asks: this page, and of which organisation it is */
export function signature() {
  return { "X-CSRFToken": hidden("csrfmiddlewaretoken"), "X-Page-Of": hidden("page_of") };
}

/**
 * @param {string} url
 * @param {Record<string, any>} [body] posted when given
 * @returns {Promise<any>} what it answers; null when that is nothing
 * @throws {Error} with the server's sentence, or none
 */
export async function ask(url, body) {
  const answer = await fetch(url, {
    redirect: "manual",
    ...(body && {
      method: "POST",
      headers: { "Content-Type": "application/json", ...signature() },
      body: JSON.stringify(body),
    }),
  }).catch(() => null); // the browser's own words for it are in no language of ours
  if (answer?.status === 204) return null;
  if (!answer) throw new Error("");
  const said = await answer.json().catch(() => null);
  if (!answer.ok || !said) throw new Error(said?.error?.message ?? "");
  return said;
}
