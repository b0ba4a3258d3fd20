// Many streams at a glance: a row for each, which opens its card.

import { html, useState } from "./vendor/preact.js";
import { Card, place } from "./card.js";
import { Strip } from "./strip.js";
import { hue } from "./palette.js";
import { explainLink, isTrouble } from "./state.js";
import { filled, percent, words } from "./format.js";

export function Table({ streams, state, now, themed }) {
  const [open, setOpen] = useState([]);
  const toggle = (name) => setOpen(open.includes(name) ? open.filter((n) => n !== name) : [...open, name]);
  const lost = explainLink(state, now); // is so of all: said once
  const labels = [...new Set(streams.flatMap(({ stream }) => stream.labels))];
  return html`${lost && html`<p class="trouble card">${lost.what}. ${lost.why}</p>`}
    <section class="card table">
      <div class="row head" aria-hidden="true"><span>Stream</span><span>State</span><span>Mood</span><span class="value">Score</span><span class="loud">Level</span><span>Last two minutes</span></div>
      <ul>${streams.map(({ stream, said }) => {
        const isOpen = open.includes(stream.name);
        return html`<li key=${stream.name}>
          <${Row} ...${{ stream, said, lost, state, now, themed, isOpen, toggle }} />
          ${isOpen && html`<${Card} whole ...${{ stream, said, state, now, themed }} />`}
        </li>`;
      })}</ul>
      <ul class="legend">${labels.map((l) => html`<li class=${`c-${hue(l)}`}><i aria-hidden="true"></i>${words(l)}</li>`)}</ul>
    </section>`;
}

function Row({ stream, said, lost, state, now, themed, isOpen, toggle }) {
  const { level, speaking } = stream;
  const label = said.kind === "bad" || said.kind === "wait" ? null : stream.smoothed;
  const sure = label && stream.emotion?.scores[label];
  const loud = level === null ? 0 : place(level);
  return html`<div class="row">
    <button aria-expanded=${isOpen} title=${stream.name} onClick=${() => toggle(stream.name)}><span>${stream.name}</span></button>
    <p class=${`chip ${lost ? "wait" : said.kind}`}><i aria-hidden="true"></i><span>${lost ? "Not heard" : said.what}</span></p>
    <p class=${`name c-${label ? hue(label) : "grey"}`}><span class="hidden">mood </span>${label ? html`<i aria-hidden="true"></i>${words(label)}` : "–"}</p>
    <p class="value">${sure ? html`<span class="hidden">score </span>${percent(sure)}` : ""}</p>
    <div class=${`track ${speaking ? "speech" : ""}`} aria-hidden="true">${loud > 0 && html`<b style=${{ transform: filled(loud) }}></b>`}</div>
    <p class="dbfs"><span class="hidden">level </span>${level === null ? "–" : `${level.toFixed(0)} dBFS`}</p>
    <${Strip} ...${{ stream, state, now, themed }} />
    ${!lost && !isOpen && isTrouble(said) && html`<p class="why">${said.why}</p>`}
  </div>`;
}
