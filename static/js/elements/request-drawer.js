/**
 * Opens what its links with `data-drawer` lead to beside the page, in the `<dialog>` inside it. The
 * part of the answer that goes there is asked for by the fragment's name, in `fragment`. A press
 * with a modifier, and a page without scripts, follow the link as ever.
 */
export class RequestDrawer extends HTMLElement {
  /** @type {AbortController | null} */
  #asking = null;

  connectedCallback() {
    this.addEventListener("click", (event) => void this.#pressed(event));
    this.#dialog?.addEventListener("close", () => this.#asking?.abort());
  }

  /** @returns {HTMLDialogElement | null} */
  get #dialog() {
    return this.querySelector("dialog");
  }

  /** @param {MouseEvent} event */
  async #pressed(event) {
    const link = event.target instanceof Element ? event.target.closest("a[data-drawer]") : null;
    const plain = !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
    if (!(link instanceof HTMLAnchorElement) || event.button !== 0 || !plain) return;
    event.preventDefault();
    if (!(await this.#show(link.href))) location.assign(link.href);
  }

  /**
   * @param {string} address
   * @returns {Promise<boolean>} whether it could be shown here
   */
  async #show(address) {
    const dialog = this.#dialog;
    const inside = dialog?.querySelector("[data-inside]");
    if (!dialog || !inside) return false;
    this.#asking?.abort();
    const asking = (this.#asking = new AbortController());
    try {
      const answer = await fetch(address, {
        headers: { "X-Fragment": this.getAttribute("fragment") ?? "" },
        signal: asking.signal,
        redirect: "manual",
      });
      if (!answer.ok) return false;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      inside.replaceChildren(...document.importNode(page.body, true).childNodes);
    } catch {
      return asking.signal.aborted; // another press, or it was closed: nothing is left to show
    }
    dialog.querySelector("a[data-page]")?.setAttribute("href", address);
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    return true;
  }
}

customElements.define("request-drawer", RequestDrawer);
