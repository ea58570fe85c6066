// Reading and deciding: a row's call opens in the pane on a wide screen, an open call says that it
// is being looked at, and no word of a reason is lost. Without this file rows are links to pages.
(() => {
  const LOOK_EVERY_MS = 10000;
  const WIDE = matchMedia("(min-width: 64rem)");

  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const pane = $("#pane");

  // ── the pane ─────────────────────────────────────────────────────────────────────────────────

  let goesToCall = false; // whether focus follows into the pane

  /** Put a row's call into the pane, under an address of its own that keeps the filters. */
  function open(link, { moveFocus = false } = {}) {
    const address = new URL(location.href);
    address.searchParams.set("call", link.closest("[data-call]").dataset.call);
    goesToCall = moveFocus;
    htmx.ajax("GET", address.pathname + address.search, {
      target: pane,
      swap: "innerHTML",
      push: address.pathname + address.search,
    });
  }

  const canOpen = () => Boolean(pane) && WIDE.matches;

  /** Mark the row of the call that is shown, and begin to look at it. */
  function shown() {
    const call = $("[data-shows]", pane)?.dataset.shows;
    for (const link of $$(".call .what")) {
      const isShown = link.closest("[data-call]").dataset.call === call;
      if (isShown) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    const kept = $(".narrowing [name=call]"); // filtering keeps the call that is being read
    kept.value = call ?? "";
    kept.disabled = !call;
    pane.classList.toggle("reading", Boolean(call));
    document.body.classList.toggle("deciding", Boolean($(".decide", pane)));
    if (goesToCall) $("#c-h", pane)?.focus({ preventScroll: true });
    goesToCall = false;
  }

  document.addEventListener("click", (event) => {
    const { target } = event;
    if ($("#arrivals a")?.contains(target)) $("#arrivals a").href = location.href;
    if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    const link = target.closest(".call .what");
    if (link && canOpen()) {
      event.preventDefault();
      open(link, { moveFocus: event.detail === 0 }); // by a key
    }
    if (target.closest("[data-again]")) {
      event.preventDefault();
      location.reload();
    }
  });

  if (pane) {
    document.addEventListener("htmx:afterSwap", (event) => {
      if (event.detail.target !== pane) return;
      shown();
      prepare(pane);
      look();
    });
    // A refusal is an answer: it shows the call as it is now.
    document.addEventListener("htmx:beforeSwap", ({ detail }) => {
      if (detail.target === pane && [400, 403, 409].includes(detail.xhr.status)) {
        detail.shouldSwap = true;
        detail.isError = false;
      }
    });
    // What cannot be had or sent this way is left to the browser.
    const leaveIt = ({ detail }) => {
      const call = new URL(detail.pathInfo.finalRequestPath, location.href).searchParams.get("call");
      if (detail.requestConfig.verb === "get" && call) location.assign(`/calls/${call}/`);
      else location.reload();
    };
    document.addEventListener("htmx:sendError", leaveIt);
    document.addEventListener("htmx:responseError", leaveIt);
  }

  // ── presence ─────────────────────────────────────────────────────────────────────────────────

  /** Say that this call is being looked at, and learn by whom else. */
  async function look() {
    const place = $("#presence");
    if (!place || document.visibilityState !== "visible") return;
    let answer;
    try {
      answer = await fetch(place.dataset.presence, { redirect: "manual" });
    } catch {
      return; // the socket's label says that there is no connection
    }
    if (!answer.ok || !place.isConnected) return;
    const html = new DOMParser().parseFromString(await answer.text(), "text/html");
    const now = $("#presence", html);
    if (now && now.textContent !== place.textContent) place.replaceWith(document.adoptNode(now));
  }

  document.addEventListener("visibilitychange", look);
  setInterval(look, LOOK_EVERY_MS);

  // ── the reason of a rejection ────────────────────────────────────────────────────────────────

  const keyOf = (field) => `reason:${field.dataset.keep}`;

  /** Give a new form the words of the one before, and ask for words only where there is no preset. */
  function prepare(root) {
    for (const field of $$("[data-keep]", root)) {
      field.value ||= sessionStorage.getItem(keyOf(field)) ?? "";
      needWords(field.form);
    }
  }

  function needWords(form) {
    form.elements.reason.required = !$("[name=preset]:checked", form);
  }

  document.addEventListener("input", ({ target }) => {
    if (target.matches("[data-keep]")) sessionStorage.setItem(keyOf(target), target.value);
    if (target.name === "preset") needWords(target.form);
  });

  // The form went away while somebody was writing: their words are shown, to copy.
  document.addEventListener("countersign:replaced", ({ detail: { part, old } }) => {
    if (part.id !== "panel") return;
    const written = ($("[data-keep]", old) ?? $("#kept-words", old))?.value;
    const kept = $("#kept", part);
    if (written && kept) {
      $("textarea", kept).value = written;
      kept.hidden = false;
    }
    prepare(part);
    document.body.classList.toggle("deciding", Boolean($(".decide", part)));
    htmx.process(part);
  });

  document.addEventListener("submit", ({ target }) => {
    const field = $("[data-keep]", target);
    if (field) sessionStorage.removeItem(keyOf(field));
  });

  prepare(document);
  if (pane) shown();
  look();

  window.countersign = { open, canOpen };
})();
