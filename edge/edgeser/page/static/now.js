// What is heard now: a card for each stream or, of many, a row.

import { html, useState } from "./vendor/preact.js";
import { Card } from "./card.js";
import { Table } from "./table.js";
import { explain, survey } from "./state.js";
import { remember, remembered } from "./storage.js";
import { count } from "./format.js";

/** More streams are a table, until the reader chooses. */
const MOST_CARDS = 6;
const KINDS = { cards: "Cards", table: "Table" };

export function Now({ state, now, themed }) {
  const [chosen, setChosen] = useState(remembered("edgeser-streams"));
  const streams = survey(state, now);
  if (!streams.length) return html`<${Nothing} said=${explain(state, undefined, now)} />`;
  const known = { state, now, themed };
  if (streams.length === 1) return html`<div class="streams one"><${Card} key=${streams[0].stream.name} whole ...${streams[0]} ...${known} /></div>`;
  const kind = Object.hasOwn(KINDS, chosen ?? "") ? chosen : streams.length > MOST_CARDS ? "table" : "cards";
  const choose = (next) => { remember("edgeser-streams", next); setChosen(next); };
  const talking = streams.filter(({ said }) => said.kind === "speech").length;
  return html`<div class="bar overview">
      <p class="muted">${count(streams.length)} streams, ${talking ? `speech on ${count(talking)}` : "no speech"}</p>
      <div class="segmented" role="group" aria-label="Streams as">${Object.entries(KINDS).map(([k, name]) => html`<button aria-pressed=${k === kind} onClick=${() => choose(k)}>${name}</button>`)}</div>
    </div>
    ${kind === "table" ? html`<${Table} streams=${streams} ...${known} />`
      : html`<div class="streams many">${streams.map((one) => html`<${Card} key=${one.stream.name} ...${one} ...${known} />`)}</div>`}`;
}

/** Nothing has ever been heard: say so, large, and what to do. */
function Nothing({ said }) {
  return html`<section class="nothing card">
    <div class="orb c-grey"><i></i><b></b></div>
    <h2>${said.what}</h2><p>${said.why}</p>
  </section>`;
}
