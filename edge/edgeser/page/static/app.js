// The page: which view is shown, the theme, and when things are drawn.

import { html, render, useEffect, useRef, useState } from "./vendor/preact.js";
import { connect } from "./live.js";
import { clockOf, explainLink, isTrouble, newState, summary, survey } from "./state.js";
import { Now } from "./now.js";
import { MOST_CARDS } from "./overview.js";
import { Past } from "./past.js";
import { Health } from "./health.js";
import { forgetColours } from "./palette.js";
import { remember } from "./storage.js";
import { words } from "./format.js";

const VIEWS = { now: ["Now", Now], past: ["Past", Past], health: ["Health", Health] };
const ICON = new URL("icon.svg", import.meta.url).href;
const DRAWN_MS = 200;
const HIDDEN_MS = 2000;
const SPOKEN_MS = 3000; // a line, and a pause behind it
const THEMES = { auto: ["◐", "Theme: system"], light: ["☀", "Theme: light"], dark: ["☾", "Theme: dark"] };

const state = newState();
let draw = () => {};
let due = 0;

/** Draw soon, but five times a second at most, and seldom while nobody looks. */
function changed() {
  if (due) return;
  due = setTimeout(() => { due = 0; draw(); }, document.hidden ? HIDDEN_MS : DRAWN_MS);
}
document.addEventListener("visibilitychange", () => {
  clearTimeout(due);
  due = 0;
  changed();
});
connect(state, changed);
setInterval(changed, 1000);
// For the tests, which look at what the page knows.
window.edgeser = { state, changed };

const viewOf = (hash) => (Object.hasOwn(VIEWS, hash.slice(1)) ? hash.slice(1) : "now");

function App() {
  const [, tick] = useState(0);
  const [view, setView] = useState(viewOf(location.hash));
  const [theme, setTheme] = useState(document.documentElement.dataset.theme ?? "auto");
  const [epoch, setEpoch] = useState(0);
  draw = () => tick((n) => n + 1);
  useEffect(() => {
    const go = () => setView(viewOf(location.hash));
    addEventListener("hashchange", go);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const recolour = () => { forgetColours(); setEpoch((n) => n + 1); };
    dark.addEventListener("change", recolour);
    return () => { removeEventListener("hashchange", go); dark.removeEventListener("change", recolour); };
  }, []);
  const nextTheme = () => {
    const names = Object.keys(THEMES);
    const next = names[(names.indexOf(theme) + 1) % names.length];
    if (next === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    remember("edgeser-theme", next);
    forgetColours();
    setTheme(next);
    setEpoch((n) => n + 1);
  };
  const now = clockOf(state);
  const [name, View] = VIEWS[view];
  const said = summary(state, now);
  const showWorst = () => { setView("now"); setTimeout(() => document.querySelector("article, .row button")?.focus()); };
  useEffect(() => { document.title = view === "now" ? "edgeser" : `${name} · edgeser`; }, [view]);
  return html`
    <a class="skip" href="#main" onClick=${(e) => { e.preventDefault(); document.getElementById("main").focus(); }}>Skip to the content</a>
    <header class="top">
      <a class="brand" href="#now" aria-label="edgeser, now"><img src=${ICON} alt="" width="28" height="28"/><span>edgeser</span></a>
      <nav aria-label="Views">${Object.entries(VIEWS).map(([key, [label]]) => html`
        <a href=${`#${key}`} aria-current=${key === view ? "page" : undefined}>${label}</a>`)}</nav>
      <a class=${`chip ${said.kind}`} href="#now" onClick=${showWorst}><i aria-hidden="true"></i><span>${said.what}</span></a>
      <button class="icon" onClick=${nextTheme} aria-label=${THEMES[theme][1]} title=${THEMES[theme][1]}>${THEMES[theme][0]}</button>
    </header>
    <main id="main" tabindex="-1">
      <h1 class="hidden">${name}</h1>
      <${View} state=${state} now=${now} themed=${epoch} />
    </main>
    <${Announcer} state=${state} now=${now} />`;
}

/** Tells a screen reader what changed, and nothing twice; a line that ends, by what is so instead. It
 * is told more only when it has said that, and what is so then. Moods of many streams would never end. */
function Announcer({ state, now }) {
  const told = useRef(new Map());
  const spoken = useRef("");
  const free = useRef(0);
  const lost = explainLink(state, now);
  const streams = lost || !state.live ? [] : survey(state, now).filter(({ stream }) => stream.status);
  const lines = [lost ? ["", lost.what] : ["", "", "Connected to the daemon"],
    ...streams.map(({ stream, said }) => [stream.name, lineOf(stream, said, streams.length <= MOST_CARDS), said.what])];
  const changed = lines.filter(([name, line]) => (told.current.get(name) ?? "") !== line);
  if (changed.length && lost?.kind !== "wait" && performance.now() >= free.current) {
    for (const [name, line] of changed) told.current.set(name, line);
    spoken.current = changed.map(([name, line, instead]) => (name && state.streams.size > 1 ? `${name}: ${line || instead}` : line || instead)).join(", ");
    free.current = performance.now() + SPOKEN_MS * changed.length;
  }
  return html`<p class="hidden" role="status" aria-live="polite">${spoken.current}</p>`;
}

const lineOf = (stream, said, withMood) => (isTrouble(said) || said.kind === "wait" || stream.status?.muted ? said.what : withMood ? words(stream.smoothed ?? "") : "");

const root = document.getElementById("app");
root.textContent = "";
render(html`<${App} />`, root);
