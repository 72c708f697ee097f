/**
 * <first-call data-address="…">: asks every second whether the first call has arrived, and says so
 * in the element inside it that carries the words (`data-waiting`, `data-arrived`).
 */

const EVERY_MS = 1000;

class FirstCall extends HTMLElement {
  connectedCallback() {
    this.timer = window.setInterval(() => this.ask(), EVERY_MS);
  }

  disconnectedCallback() {
    window.clearInterval(this.timer);
  }

  async ask() {
    const address = this.dataset.address ?? "";
    const answer = await fetch(address, { redirect: "manual" }).catch(() => null);
    if (!answer?.ok || !(await answer.json()).arrived) return;
    window.clearInterval(this.timer);
    const message = /** @type {HTMLElement} */ (this.querySelector("[data-state]"));
    message.dataset.state = "arrived";
    message.classList.add("good");
    const words = /** @type {HTMLElement} */ (message.querySelector("span"));
    words.textContent = message.dataset.arrived ?? "";
  }
}

customElements.define("first-call", FirstCall);
