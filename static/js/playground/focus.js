// Where keys go when what had the focus is gone: a button often hides itself by what it does.
// Where there is no keyboard, a focus would cover half of the page with one.

export class FocusKeeper {
  /** What had the focus last, unless somebody left it. @type {HTMLElement | null} */
  #held = null;

  /**
   * @param {HTMLElement} root
   * @param {() => void} focus puts it where one goes on
   */
  constructor(root, focus) {
    this.focus = focus;
    root.addEventListener("focusin", ({ target }) => {
      this.#held = /** @type {HTMLElement} */ (target);
    });
    root.addEventListener("focusout", ({ target }) => {
      const place = /** @type {HTMLElement} */ (target);
      // What is taken away loses the focus while it is there still.
      queueMicrotask(() => {
        if (place === this.#held && !isGone(place) && place.checkVisibility()) this.#held = null;
      });
    });
  }

  /** To be called when the page has changed. It asks for no layout: answers stream meanwhile. */
  look() {
    if (!this.#held || !(isGone(this.#held) || document.activeElement === document.body)) return;
    this.#held = null;
    if (matchMedia("(hover: hover)").matches) this.focus();
  }
}

/** @param {HTMLElement} place */
function isGone(place) {
  return !place.isConnected || place.closest("[hidden]") !== null || place.matches(":disabled");
}
