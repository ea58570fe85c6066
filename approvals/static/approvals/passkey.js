// Shows what needs a passkey where the browser has them, and says in words why one did not work.
(() => {
  if (!window.PublicKeyCredential) return;
  for (const part of document.querySelectorAll("[data-passkey]")) part.hidden = false;

  document.addEventListener("allauth.error", (event) => {
    event.preventDefault(); // it is told here, not on the console
    const why = document.getElementById("passkey-why");
    if (!why) return;
    const isGivenUp = event.detail.exception?.name === "NotAllowedError";
    why.textContent = isGivenUp ? "No key was used." : "That did not work. Try again.";
    why.hidden = false;
  });
})();
