// Several streams: as cards or, if there are many, as a table. The reader may choose.

import { html, useState } from "./vendor/preact.js";
import { explainLink, hasMore } from "./state.js";
import { remember, remembered } from "./storage.js";
import { count } from "./format.js";

/** More streams are a table, until the reader chooses. */
export const MOST_CARDS = 6;
const KINDS = { cards: "Cards", table: "Table" };

/** `note`: of them all, in a few words. `Cards`, `Table`: components, who are given `known`. */
export function Overview({ known, note, Cards, Table }) {
  const [chosen, setChosen] = useState(remembered("edgeser-streams"));
  const many = known.streams.length;
  if (many === 1) return html`<${Cards} ...${known} />`;
  const kind = Object.hasOwn(KINDS, chosen ?? "") ? chosen : many > MOST_CARDS ? "table" : "cards";
  const choose = (next) => { remember("edgeser-streams", next); setChosen(next); };
  return html`<div class="bar overview">
      <p class="muted">${count(many)} streams, ${explainLink(known.state, known.now) ? "not heard" : note}${hasMore(known.state, known.now) ? ". The daemon has more than this page can show." : ""}</p>
      <div class="segmented" role="group" aria-label="Streams as">${Object.entries(KINDS).map(([k, name]) => html`<button aria-pressed=${k === kind} onClick=${() => choose(k)}>${name}</button>`)}</div>
    </div>
    <${kind === "table" ? Table : Cards} ...${known} />`;
}
