// A month as a calendar: how much speech there was on each day, and of which labels.

import { html, useEffect, useState } from "./vendor/preact.js";
import { dayAfter } from "./archive.js";
import { ask, useAgain } from "./ask.js";
import { hue } from "./palette.js";
import { dayName, duration, plural, words } from "./format.js";

export function Month({ middle, now, isKnown, filter, labels, open }) {
  const date = new Date(middle * 1000);
  const first = new Date(date.getFullYear(), date.getMonth(), 1).getTime() / 1000;
  const length = new Date(date.getFullYear(), date.getMonth() + 1, 0).getDate();
  const days = Array.from({ length: length + 1 }, (_, i) => dayAfter(first, i));
  const [bins, setBins] = useState(null);
  const [trouble, setTrouble] = useState("");
  const key = `${first}${JSON.stringify(filter)}`;
  const again = useAgain(trouble !== "" || (first <= now && now < days.at(-1)));
  useEffect(() => setBins(null), [key]);
  useEffect(() => {
    let wanted = true;
    ask("/api/bins", { edges: days.join(","), topic: ["emotion.", "fault."], stream: filter.stream, label: filter.labels, confidence: filter.confidence ? filter.confidence / 100 : "" })
      .then((b) => { if (wanted) { setBins(b); setTrouble(""); } })
      .catch((error) => { if (wanted) setTrouble(error.message); });
    return () => { wanted = false; };
  }, [key, again]);
  const most = Math.max(1, ...(bins ?? []).map(total));
  const blanks = (new Date(first * 1000).getDay() + 6) % 7;
  const weekdays = Array.from({ length: 7 }, (_, i) => new Intl.DateTimeFormat(undefined, { weekday: "short" }).format(new Date(2024, 0, 1 + i)));
  return html`<section class="card month">
    ${trouble && html`<p class="trouble">${trouble}</p>`}
    <div class="grid head" aria-hidden="true">${weekdays.map((d) => html`<span>${d}</span>`)}</div>
    <div class="grid">
      ${Array.from({ length: blanks }, () => html`<span></span>`)}
      ${days.slice(0, -1).map((day, i) => {
        const bin = bins?.[i];
        const speech = bin ? total(bin) : 0;
        const parts = labels.filter((l) => bin?.speech_s[l]).map((l) => [l, bin.speech_s[l]]);
        const said = !bin ? "not known yet" : speech ? `${duration(speech)} of speech: ${parts.map(([l, s]) => `${words(l)} ${Math.round((100 * s) / speech)} %`).join(", ")}` : isKnown(day) ? "no speech" : "no data for this day";
        const faults = bin?.faults ? plural(bin.faults, "fault") : "";
        const told = faults ? `${said}; ${faults}` : said;
        return html`<button key=${day} class=${`day ${speech ? "" : "empty"} ${now >= day && now < days[i + 1] ? "today" : ""}`} onClick=${() => open(day)} aria-label=${`${dayName(day)}: ${told}`} title=${told}>
          <span class="number">${new Date(day * 1000).getDate()}</span>
          ${faults && html`<span class="sign">!</span>`}
          <span class="amount">${speech ? duration(speech) : ""}</span>
          <span class="stack" style=${{ width: `${(100 * Math.sqrt(speech / most)).toFixed(1)}%` }}>${parts.map(([l, s]) => html`<span class=${`c-${hue(l)}`} style=${{ flexGrow: s }}></span>`)}</span>
        </button>`;
      })}
    </div>
    <ul class="legend">${labels.map((l) => html`<li class=${`c-${hue(l)}`}><i aria-hidden="true"></i>${words(l)}</li>`)}</ul>
  </section>`;
}

const total = (bin) => Object.values(bin.speech_s).reduce((sum, s) => sum + s, 0);
