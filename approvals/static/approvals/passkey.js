// Shows what needs a passkey where the browser has them, and says in words why one did not work.
(() => {
  const isNumber = /^[\d.]+$|:/.test(location.hostname); // passkeys belong to names only
  if (!window.PublicKeyCredential || isNumber) return;
  for (const part of document.querySelectorAll("[data-no-passkey]")) part.hidden = true;
  for (const part of document.querySelectorAll("[data-passkey]")) part.hidden = false;

  document.addEventListener("allauth.error", (event) => {
    event.preventDefault(); // it is told here, not on the console
    const why = document.getElementById("passkey-why");
    if (!why) return;
    const isGivenUp = event.detail.exception?.name === "NotAllowedError";
    const words = document.getElementById("words").dataset;
    why.textContent = isGivenUp ? words.givenUp : words.failed;
    why.hidden = false;
  });
})();
