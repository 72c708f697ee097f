/** Sends the form inside it when a select or a date changes; its submit button is then hidden. */
export class SubmitOnChange extends HTMLElement {
  connectedCallback() {
    const form = this.querySelector("form");
    const button = form?.querySelector("button[type=submit]");
    if (!form) return;
    if (button instanceof HTMLElement) button.hidden = true;
    this.addEventListener("change", () => form.requestSubmit());
    form.addEventListener("formdata", ({ formData }) => {
      // An empty field would only lengthen the address.
      for (const [name, value] of [...formData]) if (value === "") formData.delete(name);
    });
  }
}

customElements.define("submit-on-change", SubmitOnChange);
