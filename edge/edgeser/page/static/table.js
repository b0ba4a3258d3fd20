// Many streams at a glance: a row for each, which opens to all that is known of it.

import { html, useState } from "./vendor/preact.js";
import { explainLink, isTrouble } from "./state.js";

/** Why nothing is known of any stream: said once of all. */
export const Lost = ({ lost }) => (lost ? html`<p class="trouble card">${lost.what}. ${lost.why}</p>` : null);

/** `kind`: its class. `head`: cells beside those of name and state. `Cells`, `Opened`: components. */
export function Table({ kind = "", streams, state, now, themed, head, Cells, Opened, children }) {
  const [open, setOpen] = useState([]);
  const toggle = (one) => setOpen(open.includes(one) ? open.filter((n) => n !== one) : [...open, one]);
  const lost = explainLink(state, now);
  return html`<${Lost} lost=${lost} />
    <section class=${`card table ${kind}`}>
      <div class="row head" aria-hidden="true"><span>Stream</span><span>State</span>${head}</div>
      <ul>${streams.map(({ stream, said }) => {
        const isOpen = open.includes(stream.name);
        const known = { stream, said, lost, state, now, themed };
        return html`<li key=${stream.name}>
          <div class="row">
            <button aria-expanded=${isOpen} title=${stream.name} onClick=${() => toggle(stream.name)}><span>${stream.name}</span></button>
            <p class=${`chip ${lost ? "wait" : said.kind}`}><i aria-hidden="true"></i><span>${lost ? "Not heard" : said.what}</span></p>
            <${Cells} ...${known} />
            ${!lost && !isOpen && isTrouble(said) && html`<p class="why">${said.why}</p>`}
          </div>
          ${isOpen && html`<${Opened} whole ...${known} />`}
        </li>`;
      })}</ul>
      ${children}
    </section>`;
}
