// Asks the browser whether it may show notices, when somebody ticks the switch; a setting that the
// browser refuses is not left ticked without a word.
(() => {
  const box = document.getElementById("notices");
  const why = document.getElementById("notices-why");
  if (!box) return;

  function explain(words) {
    why.textContent = words;
    why.hidden = !words;
  }

  function look() {
    if (!("Notification" in window)) return explain("This browser cannot show notices.");
    const isRefused = box.checked && Notification.permission === "denied";
    explain(isRefused ? "The browser refuses notices of this site; its own settings say so." : "");
  }

  box.addEventListener("change", async () => {
    const mayAsk = "Notification" in window && Notification.permission === "default";
    if (box.checked && mayAsk) await Notification.requestPermission();
    look();
  });
  look();
})();
