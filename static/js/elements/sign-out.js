// <sign-out> around a form that signs out: what this tab keeps of its person goes with their session.
// On the page that comes next, since the one that is left writes down what it says as it goes.

const LEFT = "signed-out";

class SignOut extends HTMLElement {
  connectedCallback() {
    this.addEventListener("submit", () => {
      try {
        sessionStorage.setItem(LEFT, "");
      } catch {
        // A browser that keeps nothing.
      }
    });
  }
}

try {
  if (sessionStorage.getItem(LEFT) !== null) sessionStorage.clear();
} catch {
  // The same.
}
customElements.define("sign-out", SignOut);
