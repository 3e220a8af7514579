"use strict";
// Light or dark: what the device asks for, until a reader chooses otherwise. It runs before the
// page is drawn, so that nothing flashes. The choice is the only thing kept on the device.
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const device = () => (dark.matches ? "dark" : "light");
  let chosen = null;
  let button = null;

  try {
    chosen = localStorage.getItem("theme");
  } catch {
    // Storage is switched off: the choice lasts as long as the page.
  }

  function show() {
    const theme = chosen ?? device();
    root.dataset.theme = theme;
    if (button === null) return;
    button.textContent = theme === "dark" ? "Light colours" : "Dark colours";
  }

  function change() {
    const next = root.dataset.theme === "dark" ? "light" : "dark";
    chosen = next === device() ? null : next;
    try {
      if (chosen === null) localStorage.removeItem("theme");
      else localStorage.setItem("theme", chosen);
    } catch {
      // As above.
    }
    show();
  }

  dark.addEventListener("change", show);
  document.addEventListener("DOMContentLoaded", () => {
    button = document.getElementById("theme");
    button.addEventListener("click", change);
    show();
  });
  show();
})();
