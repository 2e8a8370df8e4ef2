// What pages do besides links and forms, which work without it: read the numbers again, open forms in the dialog.
"use strict";
(() => {
  const seconds = Number(document.body.dataset.refresh);
  const dialog = document.getElementById("dialog");
  const offline = () => document.getElementById("offline");
  let last = Date.now();

  // While the page is hidden, or a form is open, nothing is read.
  function refreshIfDue() {
    const link = document.getElementById("refresh");
    if (!link || !seconds || document.hidden || dialog.open || Date.now() - last < seconds * 1000) return;
    last = Date.now();
    link.dispatchEvent(new Event("refresh"));
  }
  if (seconds) setInterval(refreshIfDue, Math.min(seconds * 1000, 1000));
  document.addEventListener("visibilitychange", refreshIfDue);

  // The element that a request replaces, also if its answer chose another one.
  function targetOf(event) {
    const target = event.detail.ctx.target;
    return typeof target === "string" ? document.querySelector(target) : target;
  }

  function busy(is) {
    document.getElementById("numbers")?.setAttribute("aria-busy", String(is));
  }
  document.addEventListener("htmx:before:request", (event) => {
    if (targetOf(event)?.id === "numbers") busy(true);
  });
  document.addEventListener("htmx:finally:request", () => busy(false));

  document.addEventListener("htmx:after:swap", (event) => {
    last = Date.now();
    offline()?.setAttribute("hidden", "");
    const target = targetOf(event);
    if (target === dialog) {
      if (!dialog.open) dialog.showModal();
      dialog.querySelector("[aria-invalid], [autofocus]")?.focus();
    } else if (target?.id === "content") {
      if (dialog.open) dialog.close();
      // The button that was pressed may be gone: reading goes on at the result.
      if (document.activeElement === document.body) target.focus({ preventScroll: true });
    }
  });

  // The server does not answer, or not with a page: what is shown stays.
  function keepNumbers() {
    const banner = offline();
    if (!banner || !banner.hidden) return;
    const at = document.getElementById("read-at")?.textContent;
    banner.textContent = "The server does not answer." + (at ? ` These are the numbers of ${at}.` : "");
    banner.hidden = false;
  }
  document.addEventListener("htmx:error", keepNumbers);
  document.addEventListener("htmx:before:response", (event) => {
    const { headers } = event.detail.ctx.response;
    if (headers.has("hx-redirect") || headers.get("content-type")?.startsWith("text/html")) return;
    event.preventDefault();
    keepNumbers();
  });

  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.closest("[data-close]")) {
      event.preventDefault();
      dialog.close();
    }
  });
  dialog.addEventListener("close", () => dialog.replaceChildren());

  // Escape hides a tooltip, until its place is left.
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") document.body.classList.add("no-tips");
  });
  for (const leaving of ["focusin", "pointerout"]) {
    document.addEventListener(leaving, () => document.body.classList.remove("no-tips"));
  }
})();
