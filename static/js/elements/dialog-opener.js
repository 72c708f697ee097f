/**
 * Opens the `<dialog>` named by `for` when its button or link is pressed. Inside any dialog a
 * button with `data-close` closes it, and a dialog with `data-open` is open when the page loads.
 */
export class DialogOpener extends HTMLElement {
  connectedCallback() {
    this.addEventListener("click", (event) => {
      const dialog = document.getElementById(this.getAttribute("for") ?? "");
      if (!(dialog instanceof HTMLDialogElement)) return;
      event.preventDefault();
      dialog.showModal();
    });
  }
}

document.addEventListener("click", (event) => {
  if (!(event.target instanceof Element)) return;
  if (event.target.closest("[data-close]")) event.target.closest("dialog")?.close();
  else if (event.target instanceof HTMLDialogElement && isOutside(event, event.target)) {
    event.target.close();
  }
});

/**
 * Whether a click on a dialog fell on its backdrop.
 * @param {MouseEvent} event
 * @param {HTMLDialogElement} dialog
 */
function isOutside(event, dialog) {
  const box = dialog.getBoundingClientRect();
  return (
    event.clientX < box.left ||
    event.clientX > box.right ||
    event.clientY < box.top ||
    event.clientY > box.bottom
  );
}

for (const dialog of document.querySelectorAll("dialog[data-open]")) {
  if (dialog instanceof HTMLDialogElement) dialog.showModal();
}

customElements.define("dialog-opener", DialogOpener);
