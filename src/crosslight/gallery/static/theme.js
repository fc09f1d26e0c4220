// Runs before the first paint, so that the page never flashes in the wrong colours.
"use strict";
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const KEY = "crosslight-theme";
  const chosen = () => {
    try { return localStorage.getItem(KEY) || "auto"; } catch { return "auto"; }
  };
  const show = () => {
    const name = chosen();
    document.documentElement.dataset.theme = name === "auto" ? (dark.matches ? "dark" : "light") : name;
    const label = document.getElementById("theme-name");
    if (label) label.textContent = `Theme: ${name}`;
  };
  show();
  dark.addEventListener("change", show);
  document.addEventListener("DOMContentLoaded", () => {
    show();
    document.getElementById("theme").addEventListener("click", () => {
      const names = ["auto", "light", "dark"];
      try { localStorage.setItem(KEY, names[(names.indexOf(chosen()) + 1) % 3]); } catch { /* private mode */ }
      show();
    });
  });
})();
