// Keys of the review page: y, n and s press the buttons that say so. Everything works without this file.
(() => {
  "use strict";

  const form = document.getElementById("answer");
  if (!form) return;
  let sent = false;

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.isComposing) return;
    const at = event.target;
    if (at instanceof Element && at.closest("input, textarea, select, [contenteditable]")) return;
    const key = event.key.toLowerCase();
    for (const button of form.querySelectorAll("button[data-key]")) {
      if (button.dataset.key !== key) continue;
      event.preventDefault();
      button.click();
      return;
    }
  });

  // One answer to one question, however often the key is struck.
  form.addEventListener("submit", (event) => {
    if (sent) event.preventDefault();
    sent = true;
  });
  addEventListener("pageshow", () => {
    sent = false;
  });
})();
