/**
 * allauth's passkey code reports failures as an event; without this they reach the console alone.
 */
document.addEventListener("allauth.error", (event) => {
  const main = document.querySelector("main .messages");
  if (!main) return;
  const cancelled = event.detail?.exception?.name === "NotAllowedError";
  const text = cancelled
    ? "The passkey was not used: the request was cancelled or timed out."
    : "Your browser could not use a passkey here. Passkeys need https, or http://localhost.";
  const message = document.createElement("p");
  message.className = "message bad";
  message.textContent = text;
  main.replaceChildren(message);
});
