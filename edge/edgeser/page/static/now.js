// What is heard now: a card for each stream or, of many, a row.

import { html } from "./vendor/preact.js";
import { Card, place } from "./card.js";
import { Overview } from "./overview.js";
import { Strip } from "./strip.js";
import { Lost, Table } from "./table.js";
import { hue } from "./palette.js";
import { explain, explainLink, survey } from "./state.js";
import { count, decibels, filled, percent, words } from "./format.js";

export function Now({ state, now, themed }) {
  const streams = survey(state, now);
  if (!streams.length) return html`<${Nothing} said=${explain(state, undefined, now)} />`;
  const talking = streams.filter(({ said }) => said.kind === "speech").length;
  const note = talking ? `speech on ${count(talking)}` : "no speech";
  return html`<${Overview} known=${{ streams, state, now, themed }} note=${note} Cards=${Cards} Table=${Rows} />`;
}

function Cards({ streams, ...known }) {
  const whole = streams.length === 1;
  const lost = whole ? null : explainLink(known.state, known.now);
  return html`<${Lost} lost=${lost} />
    <div class=${`streams ${whole ? "one" : "many"}`}>${streams.map(({ stream, said }) => html`<${Card} key=${stream.name} ...${{ stream, whole, ...known }} said=${lost ? { ...said, why: "" } : said} />`)}</div>`;
}

function Rows(known) {
  const labels = [...new Set(known.streams.flatMap(({ stream }) => stream.labels))];
  const head = html`<span>Mood</span><span class="value">Score</span><span class="loud">Level</span><span>Last two minutes</span>`;
  return html`<${Table} ...${known} head=${head} Cells=${Heard} Opened=${Card}>
    <ul class="legend">${labels.map((l) => html`<li class=${`c-${hue(l)}`}><i aria-hidden="true"></i>${words(l)}</li>`)}</ul>
  <//>`;
}

function Heard({ stream, said, state, now, themed }) {
  const { level, speaking } = stream;
  const label = said.kind === "bad" || said.kind === "wait" ? null : stream.smoothed;
  const sure = label && stream.emotion?.scores[label];
  const loud = level === null ? 0 : place(level);
  return html`<p class=${`name c-${label ? hue(label) : "grey"}`}><span class="hidden">mood </span>${label ? html`<i aria-hidden="true"></i>${words(label)}` : "–"}</p>
    <p class="value">${sure ? html`<span class="hidden">score </span>${percent(sure)}` : ""}</p>
    <div class=${`track ${speaking ? "speech" : ""}`} aria-hidden="true">${loud > 0 && html`<b style=${{ transform: filled(loud) }}></b>`}</div>
    <p class="dbfs"><span class="hidden">level </span>${level === null ? "–" : decibels(level)}</p>
    <${Strip} ...${{ stream, state, now, themed }} />`;
}

/** Nothing has ever been heard: say so, large, and what to do. */
function Nothing({ said }) {
  return html`<section class="nothing card">
    <div class="orb c-grey"><i></i><b></b></div>
    <h2>${said.what}</h2><p>${said.why}</p>
  </section>`;
}
