// Asks the browser whether it may show notices, when somebody ticks the switch; a setting that the
// browser refuses is not left ticked without a word.
(() => {
  const box = document.getElementById("notices");
  const why = document.getElementById("notices-why");
  if (!box) return;
  const told = document.getElementById("words").dataset;

  function explain(words) {
    why.textContent = words;
    why.hidden = !words;
  }

  function look() {
    if (!("Notification" in window)) return explain(told.noNotices);
    const isRefused = box.checked && Notification.permission === "denied";
    explain(isRefused ? told.refused : "");
  }

  box.addEventListener("change", async () => {
    const mayAsk = "Notification" in window && Notification.permission === "default";
    if (box.checked && mayAsk) await Notification.requestPermission();
    look();
  });
  look();
})();
