/**
 * The page's own element, which is there: its template has it.
 * @param {string} id
 * @returns {any}
 */
export function element(id) {
  return document.getElementById(id);
}
