/**
 * Shows the API's document with Swagger UI, in the page's own theme. Nothing leaves the origin: no
 * validator is asked, and the document is ours.
 */
const place = /** @type {HTMLElement} */ (document.getElementById("reference"));
const system = matchMedia("(prefers-color-scheme: dark)");

/** Swagger UI knows its dark colours by a class of the root. */
function follow() {
  const chosen = document.documentElement.dataset.theme;
  const dark = chosen ? chosen === "dark" : system.matches;
  document.documentElement.classList.toggle("dark-mode", dark);
}

follow();
system.addEventListener("change", follow);
document.addEventListener("theme-change", follow);

/** It comes without types, and as a script of its own. @type {any} */
const { SwaggerUIBundle } = globalThis;
SwaggerUIBundle({
  domNode: place,
  url: place.dataset.schema,
  validatorUrl: null,
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  persistAuthorization: false,
  displayRequestDuration: true,
});
