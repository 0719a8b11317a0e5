// Live updates. When the server says that something changed, the page is fetched again and its [data-live] fragments are replaced.
// Everything on the page works without this file.
(() => {
  "use strict";

  const address = document.body.dataset.events;
  const fragments = () => document.querySelectorAll("[data-live][id]");
  if (!address || !window.EventSource || fragments().length === 0) return;

  const REFRESH_MS_MIN = 3000;
  const RETRY_MS_MIN = 5000;
  const RETRY_MS_MAX = 60000;
  const light = document.getElementById("live");
  const controls = "a[href], button, input, select, summary, textarea";
  let source = null;
  let retry = null;
  let retryMs = RETRY_MS_MIN;
  let timer = null;
  let last = 0;
  let wanted = false;
  let loading = false;
  let missed = false;

  const say = (state) => {
    if (!light) return;
    light.hidden = false;
    light.dataset.state = state;
    light.lastChild.textContent = state === "on" ? "live" : "offline";
  };

  // A reader who has selected text there, or points at a chart for its numbers, would lose them.
  const isBeingRead = (fragment) => {
    const selection = document.getSelection();
    const selects = selection && String(selection).trim() !== "" && selection.containsNode(fragment, true);
    return selects || fragment.querySelector(".target:hover, .column:hover") !== null;
  };

  const replace = (old, fresh) => {
    const next = document.importNode(fresh, true);
    const folds = old.querySelectorAll("details");
    next.querySelectorAll("details").forEach((fold, i) => {
      if (folds[i]) fold.open = folds[i].open;
    });
    if (old.isEqualNode(next)) return;
    if (isBeingRead(old)) {
      missed = true;
      return;
    }
    const focused = Array.from(old.querySelectorAll(controls)).indexOf(document.activeElement);
    old.replaceWith(next);
    if (focused >= 0) next.querySelectorAll(controls)[focused]?.focus({ preventScroll: true });
  };

  const refresh = async () => {
    timer = null;
    if (loading || document.hidden) return;
    loading = true;
    wanted = false;
    last = Date.now();
    try {
      const response = await fetch(location.href, { headers: { accept: "text/html" }, credentials: "same-origin" });
      // A redirect leads to the login page, which has none of the fragments: leave the page as it is.
      if (!response.ok || response.redirected) return;
      const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
      for (const old of fragments()) {
        const next = fresh.getElementById(old.id);
        if (next) replace(old, next);
      }
    } catch {
      wanted = true;
    } finally {
      loading = false;
      if (wanted) schedule();
    }
  };

  const schedule = () => {
    wanted = true;
    if (timer === null && !loading && !document.hidden) {
      timer = setTimeout(refresh, Math.max(0, last + REFRESH_MS_MIN - Date.now()));
    }
  };

  // Browsers reconnect by themselves when a stream breaks, but not when the server refused it.
  const open = () => {
    source = new EventSource(address);
    source.onopen = () => {
      // What happened while the stream was away is not told again.
      if (retryMs > RETRY_MS_MIN || light?.dataset.state === "off") schedule();
      retryMs = RETRY_MS_MIN;
      say("on");
    };
    source.onerror = () => {
      say("off");
      if (source?.readyState !== EventSource.CLOSED) return;
      retry = setTimeout(open, retryMs);
      retryMs = Math.min(retryMs * 2, RETRY_MS_MAX);
    };
    source.onmessage = schedule;
  };

  const close = () => {
    clearTimeout(retry);
    source?.close();
    source = null;
  };

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && wanted) schedule();
  });
  // What could not be replaced while it was read is, once the reader moves on.
  for (const type of ["pointermove", "selectionchange"]) {
    document.addEventListener(type, () => {
      if (!missed) return;
      missed = false;
      schedule();
    });
  }
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => {
    if (event.persisted) {
      open();
      schedule();
    }
  });
  open();
})();
