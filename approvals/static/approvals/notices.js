// A notice of the browser for a new call: only when the person wants it, the browser allows it, and
// none of their tabs has focus. It carries the sentence, never an argument nor a way to decide.
(() => {
  const ANSWER_MS = 200; // how long the other tabs have to say that one of them has focus
  const tabs = new BroadcastChannel("countersign");
  const asked = new Map(); // question → what to do when nobody answers

  tabs.onmessage = ({ data }) => {
    if (data.asks && document.hasFocus()) tabs.postMessage({ answers: data.asks });
    if (data.answers) {
      clearTimeout(asked.get(data.answers));
      asked.delete(data.answers);
    }
  };

  function unlessSomebodyLooks(act) {
    if (document.hasFocus()) return;
    const question = `${Date.now()} ${Math.random()}`;
    asked.set(question, setTimeout(act, ANSWER_MS));
    tabs.postMessage({ asks: question });
  }

  document.addEventListener("countersign:arrived", ({ detail: { row } }) => {
    if (!("Notification" in window) || Notification.permission !== "granted") return;
    const link = row.querySelector(".what");
    unlessSomebodyLooks(() => {
      // The tag makes one notice of those that several tabs give of the same call.
      const notice = new Notification(document.getElementById("words").dataset.notice, {
        body: link.textContent.trim().replace(/\s+/g, " "),
        tag: row.dataset.call,
        icon: "/static/approvals/icon.svg",
      });
      notice.onclick = () => {
        window.focus();
        location.assign(link.href);
        notice.close();
      };
    });
  });
})();
