/**
 * Asks before what cannot be taken back, in the page's `<dialog id="confirm">`.
 * @param {string} question
 * @param {string} yes the word on the button that does it
 * @returns {Promise<boolean>} whether the answer was yes; Escape and a press beside it are a no
 */
export function confirmed(question, yes) {
  const dialog = /** @type {HTMLDialogElement} */ (document.getElementById("confirm"));
  /** @type {HTMLElement} */ (dialog.querySelector("[data-question]")).textContent = question;
  /** @type {HTMLElement} */ (dialog.querySelector("[value=yes]")).textContent = yes;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    const answered = () => resolve(dialog.returnValue === "yes");
    dialog.addEventListener("close", answered, { once: true });
  });
}
