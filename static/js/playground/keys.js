// Keys of the page: run, stop, the palette, the list of them all. Dialogs have their own.

/**
 * @typedef {object} Actions
 * @property {() => void} run
 * @property {() => void} stop
 * @property {() => void} palette
 * @property {() => void} list
 */

/** @param {Actions} actions */
export function listenToKeys({ run, stop, palette, list }) {
  document.addEventListener("keydown", (event) => {
    if (event.isComposing) return; // the key is the input method's
    const withControl = event.ctrlKey || event.metaKey;
    const inDialog = document.querySelector("dialog:modal") !== null;
    const target = /** @type {Element} */ (event.target);
    if (event.key === "Enter" && withControl) {
      const form = target.closest("form[data-editor], form[data-call-id]");
      if (form) /** @type {HTMLFormElement} */ (form).requestSubmit();
      else if (!inDialog) run();
    } else if (event.key.toLowerCase() === "k" && withControl) {
      event.preventDefault();
      if (!inDialog || target.closest("#palette")) palette();
    } else if (event.key === "?" && !inDialog && !target.closest("input, textarea, select")) list();
    else if (event.key === "Escape" && !inDialog && !hasAnotherMeaning(event)) stop();
  });
}

/**
 * Escape first closes what is open and empties a search: an answer that is paid for must not end by
 * that.
 * @param {KeyboardEvent} event
 */
function hasAnotherMeaning({ defaultPrevented, target }) {
  const isSearching = target instanceof HTMLInputElement && target.type === "search" && target.value;
  const isOpen = document.querySelector("drop-menu [open], :popover-open");
  return defaultPrevented || Boolean(isSearching || isOpen);
}
