// Single keys: j and k read the next and the previous call, a and r choose, ? lists them. They act
// only on the call that is shown, never while somebody writes, and never confirm.
(() => {
  const list = document.getElementById("keys");
  if (!list) return; // switched off

  // However it is opened: its heading is read first.
  list.addEventListener("toggle", () => list.open && list.querySelector("h2").focus());

  const $$ = (selector) => [...document.querySelectorAll(selector)];

  const rows = () => $$(".call .what");

  /** Go to a row beside the one that is read, or that has focus; show its call where there is room. */
  function go(step) {
    const all = rows();
    const here = all.indexOf(document.activeElement);
    const from = here >= 0 ? here : all.findIndex((row) => row.hasAttribute("aria-current"));
    const row = all[Math.max(0, Math.min(all.length - 1, from + step))];
    if (!row) return;
    row.focus();
    row.scrollIntoView({ block: "nearest" });
    if (countersign.canOpen() && !row.hasAttribute("aria-current")) countersign.open(row);
  }

  /** Choose; not while another row than the one that is shown has focus: what is read is decided. */
  function choose(verdict) {
    const tile = document.querySelector(`.decide [name=decision][value=${verdict}]`);
    const isElsewhere = document.activeElement.matches(".what:not([aria-current])");
    if (!tile || tile.disabled || isElsewhere) return;
    tile.checked = true;
    tile.focus();
    if (verdict === "reject") document.getElementById("why")?.focus();
  }

  function chooseNeither() {
    for (const tile of $$(".decide [name=decision]")) tile.checked = false;
  }

  const KEYS = {
    j: () => go(1),
    k: () => go(-1),
    a: () => choose("approve"),
    r: () => choose("reject"),
    "?": () => list.showModal(),
  };

  const WRITES = "input:not([type=radio], [type=checkbox]), textarea, select, [contenteditable]";

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat) return;
    if (list.open) return; // Esc closes it by itself
    if (event.key === "Escape") {
      if (event.target.matches(WRITES)) event.target.blur();
      else chooseNeither();
      return;
    }
    if (event.target.matches(WRITES) || !(event.key in KEYS)) return;
    event.preventDefault();
    KEYS[event.key]();
  });
})();
