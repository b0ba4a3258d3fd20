// The theme is set before anything is drawn, so that nothing flashes.
"use strict";
{
  const chosen = localStorage.getItem("edgeser-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
