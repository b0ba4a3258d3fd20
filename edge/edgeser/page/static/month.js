// A month as a calendar: how much speech there was on each day, and of which labels.

import { html, useEffect, useRef, useState } from "./vendor/preact.js";
import { dayAfter } from "./archive.js";
import { ask, useAgain } from "./ask.js";
import { hue } from "./palette.js";
import { dayName, duration, plural, words } from "./format.js";

const NO_DATA = "no data for this day";
const MOVES = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -7, ArrowDown: 7, Home: -31, End: 31 };

export function Month({ middle, now, isKnown, filter, labels, open }) {
  const date = new Date(middle * 1000);
  const first = new Date(date.getFullYear(), date.getMonth(), 1).getTime() / 1000;
  const length = new Date(date.getFullYear(), date.getMonth() + 1, 0).getDate();
  const days = Array.from({ length: length + 1 }, (_, i) => dayAfter(first, i));
  const [bins, setBins] = useState(null);
  const [trouble, setTrouble] = useState("");
  const grid = useRef(null);
  const [moved, setMoved] = useState({ month: 0, to: 0 }); // by arrow keys: Tab stops at one day only
  const stop = moved.month === first ? moved.to : date.getDate() - 1;
  const move = (event) => {
    if (!MOVES[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const to = Math.max(0, Math.min(length - 1, stop + MOVES[event.key]));
    setMoved({ month: first, to });
    grid.current.querySelectorAll("button")[to].focus();
  };
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
    <div class="grid" ref=${grid} role="group" aria-label="Days. Arrow keys move between them." onKeyDown=${move}>
      ${Array.from({ length: blanks }, () => html`<span></span>`)}
      ${days.slice(0, -1).map((day, i) => {
        const bin = bins?.[i];
        const speech = bin ? total(bin) : 0;
        const parts = labels.filter((l) => bin?.speech_s[l]).map((l) => [l, bin.speech_s[l]]);
        const said = !bin ? "not known yet" : speech ? `${duration(speech)} of speech: ${parts.map(([l, s]) => `${words(l)} ${Math.round((100 * s) / speech)} %`).join(", ")}` : isKnown(day) ? "no speech" : NO_DATA;
        const faults = bin?.faults ? plural(bin.faults, "fault") : "";
        const told = faults ? `${said}; ${faults}` : said;
        return html`<button key=${day} tabindex=${i === stop ? 0 : -1} class=${`day ${speech ? "" : "empty"} ${said === NO_DATA ? "unknown" : ""}`} aria-current=${now >= day && now < days[i + 1] ? "date" : undefined} onClick=${() => open(day)} aria-label=${`${dayName(day)}: ${told}`} title=${told}>
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
