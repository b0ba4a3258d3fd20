// The theme is set before anything is drawn, so that nothing flashes: a module would come too late.
"use strict";
try {
  const chosen = localStorage.getItem("edgeser-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // the browser keeps nothing of sites (storage.js): the system's theme
}
