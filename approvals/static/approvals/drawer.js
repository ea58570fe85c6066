// The drawer of the history: on a wide screen a row opens beside the list instead of on a page of its
// own. Both have an address; without this script, and on a phone, every row opens its own page.
(() => {
  const wide = matchMedia("(min-width: 64rem)");
  const drawer = () => document.getElementById("drawer");
  let opener = null;

  async function show(url) {
    history.pushState({}, "", url);
    await htmx.ajax("GET", url, { target: "#drawer", swap: "outerHTML" });
    drawer().querySelector("h2")?.focus({ preventScroll: true });
  }

  function close(url) {
    history.pushState({}, "", url);
    drawer().hidden = true;
    drawer().replaceChildren();
    const row = opener && document.querySelector(`a[href="${CSS.escape(opener)}"]`);
    row?.focus({ preventScroll: true });
  }

  document.addEventListener("click", (event) => {
    const isPlain = !event.button && !event.metaKey && !event.ctrlKey && !event.shiftKey;
    const link = event.target.closest("a[data-drawer], a[data-drawer-close]");
    if (!link || !isPlain) return;
    if ("drawerClose" in link.dataset) {
      event.preventDefault();
      close(link.getAttribute("href"));
    } else if (wide.matches) {
      event.preventDefault();
      opener = link.getAttribute("href");
      show(link.dataset.drawer);
    }
  });

  document.addEventListener("keydown", (event) => {
    const link = event.key === "Escape" && drawer().querySelector("[data-drawer-close]");
    if (link) close(link.getAttribute("href"));
  });

  // Signed out meanwhile, or no such call any more: its own page says so.
  document.addEventListener("htmx:responseError", (event) => {
    if (event.detail.target === drawer() && opener) location.assign(opener);
  });
  addEventListener("popstate", () => location.reload());
})();
