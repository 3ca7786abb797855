"use strict";
// Before anything is drawn: the colours that the reader chose on an earlier visit. Without a choice the system's hold.
(() => {
  const KEY = "phenorep-colours";
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  root.classList.add("scripted");

  function stored() {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // some browsers keep nothing for files
    }
  }

  function keep(choice) {
    try {
      choice ? localStorage.setItem(KEY, choice) : localStorage.removeItem(KEY);
    } catch {
      // it holds until the page is left
    }
  }

  const isDark = () => (root.dataset.theme || (system.matches ? "dark" : "light")) === "dark";

  function show() {
    for (const button of document.querySelectorAll("[data-theme-switch]")) {
      button.hidden = false;
      button.textContent = isDark() ? "Light colours" : "Dark colours";
    }
    document.dispatchEvent(new CustomEvent("colours", { detail: { dark: isDark() } }));
  }

  const first = stored();
  if (first === "light" || first === "dark") root.dataset.theme = first;
  system.addEventListener("change", show);
  document.addEventListener("DOMContentLoaded", show);
  document.addEventListener("click", (event) => {
    if (!event.target.closest?.("[data-theme-switch]")) return;
    const wanted = isDark() ? "light" : "dark";
    // What the system has anyway needs no choice: the page follows it again.
    if (wanted === (system.matches ? "dark" : "light")) {
      delete root.dataset.theme;
      keep(null);
    } else {
      root.dataset.theme = wanted;
      keep(wanted);
    }
    show();
  });
})();
