// Sets the theme before anything is drawn, so that nothing flashes: a module would run too late.
"use strict";
try {
  const chosen = localStorage.getItem("edgeser-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // site data is blocked (storage.js): the system's theme
}
