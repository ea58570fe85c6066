// Live pages. The socket says only which call changed; this asks for its HTML through the ordinary
// permission check and puts it in place. Rows already on a page keep their place: what is new goes
// below them, and a line that is always there says so. An idle page asks for nothing.
//
// The other scripts hear of it by two events of the document: "countersign:replaced" (a part of a
// call stands in another's place) and "countersign:arrived" (a row that was not there before).
(() => {
  const SETTLE_SECONDS = 3; // after a deadline: if no hint came by then, look once
  const MOST_AT_ONCE = 50; // ids in one request; the server takes no more
  const MOST_FRESH = 50; // new rows on a page; beyond, only their number is told
  const SPEAK_EVERY_MS = 10000;
  const SLEPT_SECONDS = 90;
  const LEAVING_SECONDS = 5;

  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const page = () => $("[data-live]");
  const words = $("#words").dataset; // every word that is shown comes from the page
  const plural = new Intl.PluralRules(document.documentElement.lang);

  // ── what is on the page ──────────────────────────────────────────────────────────────────────

  const rowOf = (id) => $(`[data-call="${CSS.escape(id)}"]`);
  const shows = (id) => $(`[data-shows="${CSS.escape(id)}"]`);

  /** Whether a hint tells this page something it does not show yet. */
  function isNews({ call, version }) {
    const row = rowOf(call);
    // The version that is shown, told again: somebody opened the call.
    if (row?.querySelector("[data-look]") && Number(row.dataset.version) === version) return true;
    const known = [row, shows(call)].filter(Boolean);
    if (known.length) return known.some((place) => Number(place.dataset.version) < version);
    return ["list", "first"].includes(page().dataset.live);
  }

  const announce = (name, detail) =>
    document.dispatchEvent(new CustomEvent(`countersign:${name}`, { detail }));

  /** Put a part in place of the one with its id, unless somebody is just using that one. */
  function replacePart(part) {
    const old = document.getElementById(part.id);
    if (!old) return;
    if (part.dataset.title) document.title = part.dataset.title;
    if (part.id === "lately" && old.matches(":hover, :focus-within")) return;
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    // Forms that are still good stay as they are, with what was typed and ticked in them.
    const forms = $("#decide", old);
    if (forms) $("#decide[data-same]", part)?.replaceWith(forms);
    old.replaceWith(part);
    if (part.contains(focused)) focused.focus({ preventScroll: true });
    else if (focused) keepFocus(part, focused);
    watchRings(part);
    announce("replaced", { part, old });
  }

  /** Focus was on something that was replaced: it stays on the same link, or near; never on a
   * button that decides. */
  function keepFocus(part, focused) {
    const href = focused.getAttribute("href");
    const same = href && $(`a[href="${CSS.escape(href)}"]`, part);
    if (!same) part.tabIndex = -1;
    (same || part).focus({ preventScroll: true });
  }

  function replaceRow(row) {
    const old = rowOf(row.dataset.call);
    if (!old) return appendRow(row);
    if (Number(old.dataset.version) >= Number(row.dataset.version)) return replaceLook(old, row);
    const hadFocus = old.contains(document.activeElement);
    const isShown = $("a", old)?.getAttribute("aria-current");
    old.replaceWith(row);
    if (isShown) $("a", row)?.setAttribute("aria-current", isShown);
    if (hadFocus) $("a", row)?.focus({ preventScroll: true });
    watchRings(row);
    watchLooks(row);
  }

  /** Who looks at a call is no version of it: only that part of its row changes. */
  function replaceLook(old, row) {
    const [was, now] = [old, row].map((one) => $("[data-look]", one));
    if (!was || !now) return;
    was.replaceWith(now);
    watchLooks(old);
  }

  /** Looks are over after a while, and nobody says so: ask once, when the time has come. */
  function watchLooks(root) {
    for (const look of $$("[data-look][data-over]", root)) {
      setTimeout(() => {
        const row = look.isConnected && look.closest("[data-call]");
        if (!row) return;
        wanted.add(row.dataset.call);
        askForChanges();
      }, 1000 * Number(look.dataset.over));
    }
  }

  let fresh = 0;
  let freshHigh = 0;
  function appendRow(row) {
    const place = $("#fresh");
    if (!place || !("belongs" in row.dataset)) return;
    fresh += 1;
    if (row.dataset.risk === "high") freshHigh += 1;
    if (fresh <= MOST_FRESH) {
      $("#empty")?.remove();
      place.hidden = false;
      $("ol", place).append(row);
      watchRings(row);
      watchLooks(row);
    }
    tellArrivals(...arrivals());
    announce("arrived", { row });
  }

  /** "2 new calls arrived, one of them high risk": the page has a line for each kind of number. */
  function arrivals() {
    const kind = freshHigh > 1 ? "some" : freshHigh ? "one" : "none";
    const lines = $$(`[data-high=${kind}]`, $("#arrival-words").content);
    const like = (line) => plural.select(Number(line.dataset.n)) === plural.select(fresh);
    const line = (lines.find(like) ?? lines.at(-1)).cloneNode(true);
    const texts = document.createTreeWalker(line, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const text = texts.currentNode;
      text.data = text.data.replaceAll("{n}", fresh).replaceAll("{high}", freshHigh);
    }
    return line.childNodes;
  }

  function tellArrivals(...told) {
    const line = $("#arrivals");
    if (!line) return;
    line.classList.add("some");
    $("span", line).replaceChildren(...told);
    $("a", line).hidden = false;
    $("a", line).href = location.href; // with the call that is being read by now
    say($("span", line).textContent);
  }

  let spoken = -Infinity;
  /** Tell a screen reader, at most once in ten seconds. */
  function say(told, isUrgent = false) {
    const now = performance.now();
    if (!$("#say") || (!isUrgent && now - spoken < SPEAK_EVERY_MS)) return;
    spoken = now;
    $("#say").textContent = told;
  }

  // ── asking for what changed ──────────────────────────────────────────────────────────────────

  /** Return a page or a fragment as a document, or null when it cannot be had. */
  async function fetchHtml(url) {
    let answer;
    try {
      answer = await fetch(url, { redirect: "manual", headers: { Accept: "text/html" } });
    } catch {
      return null;
    }
    if (answer.type === "opaqueredirect") return signedOut();
    if (!answer.ok) return null;
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  }

  let isOver = false;
  function signedOut() {
    isOver = true;
    socket?.close();
    show(words.signedOut, false);
    return null;
  }

  function merge(html) {
    // The page that waits for a first call goes to it.
    const lead = $("[data-lead]", html);
    if (lead) location.assign(lead.getAttribute("href"));
    const main = $("[data-shows]", html);
    const mine = main && shows(main.dataset.shows);
    if (mine && Number(mine.dataset.version) >= Number(main.dataset.version)) return;
    if (mine) mine.dataset.version = main.dataset.version;
    if (main?.dataset.title && page().dataset.live === "call") document.title = main.dataset.title;
    if (mine) {
      say(main.dataset.says, true);
      $$("[data-told]").forEach((told) => told.remove()); // it was told of an earlier state
    }
    $$("[data-part]", html).forEach((part) => replacePart(document.adoptNode(part)));
    $$("[data-call]", html).forEach((row) => replaceRow(document.adoptNode(row)));
  }

  const wanted = new Set();
  let isAsking = false;
  let isLeaving = false; // a form was sent, and its answer will stand in this page's place

  async function askForChanges() {
    if (isAsking || !wanted.size || isOver || isLeaving) return;
    isAsking = true;
    const ids = [...wanted].slice(0, MOST_AT_ONCE);
    ids.forEach((id) => wanted.delete(id));
    const { live, changes } = page().dataset;
    if (live !== "call") {
      const query = ids.map((id) => `&id=${encodeURIComponent(id)}`).join("");
      const html = await fetchHtml(changes + query);
      if (html) merge(html);
    }
    // The call that is being read, on its page or in the pane.
    const shown = ids.map(shows).find(Boolean);
    const parts = shown && (await fetchHtml(shown.dataset.changes));
    if (parts) merge(parts);
    isAsking = false;
    askForChanges();
  }

  function hint(news) {
    if (!page() || !isNews(news)) return;
    // After a flood the whole list is read again, once, instead of row by row.
    if (wanted.size >= 4 * MOST_AT_ONCE) {
      wanted.clear();
      const flood = document.createElement("b");
      flood.textContent = words.flood;
      tellArrivals(flood);
      return;
    }
    wanted.add(news.call);
    askForChanges();
  }

  /** Bring the page up to date, once, after the socket was (re)opened: hints may have been lost. */
  async function catchUp() {
    const live = page()?.dataset.live;
    if (!live) return;
    $$("[data-call]").forEach((row) => wanted.add(row.dataset.call));
    $$("[data-shows]").forEach((place) => wanted.add(place.dataset.shows));
    if (live === "list") {
      const html = await fetchHtml(location.href);
      // The call in the pane is asked for as what it is: maybe one that has changed.
      html?.querySelector("#pane")?.remove();
      // A row that left the list is asked for by its id; all others came with the page.
      $$("[data-call]", html ?? document.createElement("div")).forEach((row) => {
        if (!shows(row.dataset.call)) wanted.delete(row.dataset.call);
        row.dataset.belongs = "";
      });
      if (html) merge(html);
    }
    if (live === "first") {
      const html = await fetchHtml(page().dataset.changes);
      if (html) merge(html);
    }
    askForChanges();
  }

  // ── the socket ───────────────────────────────────────────────────────────────────────────────

  let socket = null;
  let failures = 0;
  let retry = 0;

  function show(state, isLive) {
    const label = $("#live");
    if (!label) return;
    label.hidden = false;
    label.textContent = state;
    label.classList.toggle("off", !isLive);
  }

  function connect() {
    clearTimeout(retry);
    if (isOver || !page()) return;
    socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/ws/calls/`);
    socket.onopen = () => {
      failures = 0;
      show(words.connected, true);
      catchUp();
    };
    socket.onmessage = (message) => hint(JSON.parse(message.data));
    socket.onclose = () => {
      if (isOver) return;
      show(words.reconnecting, false);
      // 1 s, 2 s, 4 s … 30 s, each somewhere in its upper half, so that pages do not come at once.
      const pause = Math.min(30, 2 ** failures) * (0.5 + Math.random() / 2);
      failures += 1;
      retry = setTimeout(connect, 1000 * pause);
    };
  }

  // ── rings: the server sends what is left; here it is only counted down ───────────────────────

  const ends = new WeakMap();
  const watchRings = (root) => $$("[data-seconds]", root).forEach(ringEnd);

  function ringEnd(ring) {
    if (!ends.has(ring)) ends.set(ring, Date.now() + 1000 * Number(ring.dataset.seconds));
    return ends.get(ring);
  }

  /** The same words as the server's: "4:12" under five minutes, then "7m", "3h", "2d". */
  function clock(left) {
    if (left < 300) return `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    const units = [[86400, words.d], [3600, words.h], [60, words.m]];
    const [size, unit] = units.find(([size]) => left >= size);
    return `${Math.floor(left / size)}${unit}`;
  }

  /** The same words as the server's: "4 min 12 s", "2 h 05 min". */
  function duration(left) {
    const two = (large, unit, small, smaller) =>
      `${large} ${unit}${small ? ` ${String(small).padStart(2, "0")} ${smaller}` : ""}`;
    const { d, h, min, s } = words;
    if (left < 60) return `${left} ${s}`;
    if (left < 3600) return two(Math.floor(left / 60), min, left % 60, s);
    if (left < 86400) return two(Math.floor(left / 3600), h, Math.floor(left / 60) % 60, min);
    return two(Math.floor(left / 86400), d, Math.floor(left / 3600) % 24, h);
  }

  function tick() {
    for (const ring of $$("[data-seconds]")) {
      const exact = (ringEnd(ring) - Date.now()) / 1000;
      const left = Math.max(0, Math.floor(exact));
      const share = (100 * left) / Number(ring.dataset.of);
      $(".arc", ring).setAttribute("stroke-dasharray", `${share.toFixed(1)} 100`);
      $("time", ring).textContent = clock(left);
      const rest = $("[data-left]", ring.closest("[data-expires]") ?? ring);
      if (rest) rest.textContent = duration(left);
      for (const element of [ring, rest].filter(Boolean)) {
        element.classList.toggle("bad", left < 300);
        element.classList.toggle("warn", left >= 300 && left < 600);
      }
      if (ring.closest("#panel") && (left === 300 || left === 60)) {
        say(left === 60 ? words.minute : words.minutes, true);
      }
      if (exact <= 0) end(ring.closest("[data-expires]"));
    }
  }

  // A machine that slept may hold a socket that is dead and does not know it: whoever wakes up asks
  // again. Hidden pages are woken once a minute, so only a longer gap means sleep.
  let ticked = Date.now();
  function wake() {
    const slept = Date.now() - ticked > SLEPT_SECONDS * 1000;
    ticked = Date.now();
    tick();
    if (slept) drop();
  }

  /** Give up a socket that cannot be trusted; a new one is opened, and everything asked again. */
  function drop() {
    if (socket?.readyState !== WebSocket.OPEN) return;
    show(words.reconnecting, false);
    socket.close();
  }

  /** Nobody can decide any more; the server says the same as soon as its sweep has been there. */
  function end(scope) {
    if (!scope || scope.classList.contains("over")) return;
    scope.classList.add("over");
    if (!scope.dataset.call) $("#chip[data-expires]")?.classList.add("over");
    const id = scope.dataset.call ?? (scope.closest("[data-shows]") ?? $("[data-shows]")).dataset.shows;
    setTimeout(() => {
      if (!scope.isConnected) return; // a hint has come
      wanted.add(id);
      askForChanges();
    }, 1000 * SETTLE_SECONDS);
  }

  // ── forms: never sent twice, never shown as done before the server says so ───────────────────

  document.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (!button || event.target.method !== "post" || !event.target.closest("#main")) return;
    if (event.target.dataset.sent) {
      event.preventDefault();
      return;
    }
    event.target.dataset.sent = "yes";
    button.textContent = words.sending;
    button.setAttribute("aria-busy", "true");
    leave();
  });

  /** Ask for nothing while a form is on its way: the server has better things to do just then than
   * to bring a page up to date that is going. Where no other page comes, it goes on. */
  function leave() {
    isLeaving = true;
    setTimeout(stay, 1000 * LEAVING_SECONDS);
  }
  function stay() {
    isLeaving = false;
    askForChanges();
  }
  document.addEventListener("htmx:afterSettle", stay); // the answer came into this very page

  // A page that comes back from the browser's memory is old: its forms and rows are not to be used.
  addEventListener("pageshow", (event) => event.persisted && location.reload());
  addEventListener("pagehide", () => {
    isOver = true;
  });
  addEventListener("online", () => socket?.readyState === WebSocket.CLOSED && connect());
  addEventListener("offline", drop);
  document.addEventListener("visibilitychange", wake);
  document.addEventListener("htmx:afterSwap", (event) => watchRings(event.target));

  watchRings(document);
  watchLooks(document);
  setInterval(wake, 1000);
  connect();
})();
