// Copy buttons: each copies the text beside it. Without script, or where the browser forbids it, the
// text is there to be selected.
(() => {
  const SAID_MS = 1600;
  const words = document.getElementById("words").dataset;

  async function copy(button) {
    const text = button.parentElement.querySelector("pre").textContent;
    const was = button.textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = words.copied;
    } catch {
      getSelection().selectAllChildren(button.parentElement.querySelector("pre"));
      button.textContent = words.selected;
    }
    setTimeout(() => (button.textContent = was), SAID_MS);
  }

  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", () => copy(button));
  }
})();
