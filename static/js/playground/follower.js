// Keeps the end of a growing text in sight for as long as its reader stays there, and the beginning
// of what stands in its place while there is none.
//
// It scrolls when a frame's layout is done and before the frame is painted. Asking where the end is
// while the frame is being drawn would lay the page out at once, and once for each pane.

/** This close to the end counts as reading along. */
const NEAR_PX = 120;

export class Follower {
  #following = true;

  /**
   * @param {HTMLElement} content what grows
   * @param {() => HTMLElement} scroller what scrolls; the document's own may be one
   */
  constructor(content, scroller) {
    this.scroller = scroller;
    const stay = () => this.#stay();
    new ResizeObserver(() => {
      if (!content.hasChildNodes()) this.scroller().scrollTop = 0;
      else if (this.#following) this.#scrollToEnd();
      // Again and again is once; a pane that has gone is not held by the page.
      document.addEventListener("scroll", stay, { capture: true, passive: true });
      if (!content.isConnected) document.removeEventListener("scroll", stay, { capture: true });
    }).observe(content);
  }

  /** Go to the end, wherever the reader is. */
  follow() {
    this.#following = true;
  }

  #stay() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller();
    this.#following = scrollHeight - scrollTop - clientHeight < NEAR_PX;
  }

  #scrollToEnd() {
    const scroller = this.scroller();
    scroller.scrollTop = scroller.scrollHeight;
  }
}
