// The card of a stream: all that is heard of it now.

import { html, useRef } from "./vendor/preact.js";
import { Scores } from "./scores.js";
import { hue } from "./palette.js";
import { SHOWN_S } from "./state.js";
import { clockTime, decibels, duration, filled, milliseconds, percent, recentTime, title, words } from "./format.js";

const LOWEST_DBFS = -80;
const STAGES = ["capture", "segment", "features", "queue", "inference", "publish"];

/** `whole`: with all that one stream among many has no room for. */
export function Card({ stream, said, state, now, themed, whole }) {
  const gone = said.kind === "bad" || said.kind === "wait";
  return html`<article class=${`card stream ${gone ? "gone" : ""}`} tabindex="-1" aria-label=${`Stream ${stream.name}`}>
    <header class="bar">
      <h2 class="streamname" title=${stream.name}>${stream.name}</h2>
      <p class=${`chip ${said.kind}`}><i aria-hidden="true"></i><span>${said.what}</span></p>
    </header>
    <div class="heard">
      <${Emotion} ...${{ stream, said, gone, now }} />
      <${Bars} stream=${stream} />
      ${whole && [stream.emotion, ...stream.points].some(isPlaced) && html`<${Plane} points=${stream.points} now=${now} />`}
    </div>
    <${Meter} stream=${stream} />
    <${Scores} stream=${stream} state=${state} now=${now} themed=${themed} height=${whole ? Math.round(Math.max(190, Math.min(560, innerHeight / 4))) : 160} />
    <${Latency} stream=${stream} />
    <${Faults} state=${state} stream=${stream} now=${now} />
    ${whole && html`<${Finals} finals=${stream.finals} now=${now} />`}
  </article>`;
}

/** Whether the model's labels have a position: all its events then have one. */
const isPlaced = (event) => (event?.valence ?? null) !== null;

/** The smoothed emotion, large. It rests while nobody speaks; it never flickers. Where there is none
 * the state stands in its place, as while nobody listens. */
function Emotion({ stream, said, gone, now }) {
  const label = gone ? null : stream.smoothed;
  const since = label && said.kind !== "speech" ? `last heard ${duration(now - stream.lastSpeech)} ago`
    : label ? `${label === "unknown" ? "not sure enough to say" : "the mood"} for ${duration(now - stream.smoothedFrom)}`
    : stream.smoothed ? `last heard as ${words(stream.smoothed)}, until ${recentTime(stream.lastSpeech, now)}` : `nothing recognised ${stream.status?.counters.finals ? "lately" : "yet"}`;
  const loud = stream.speaking && stream.level !== null ? Math.max(0, Math.min(1, (stream.level + 60) / 50)) : 0;
  const why = said.why ? `${said.why}${said.from && said.kind === "quiet" && !label ? ` Last speech ${duration(now - said.from)} ago.` : ""}` : "";
  const line = why || (stream.speaking ? `Speaking for ${duration(now - stream.segmentFrom)}` : "");
  return html`<div class="emotion">
    <div class=${`orb c-${label ? hue(label) : "grey"} ${stream.speaking ? "live" : ""}`} style=${{ "--loud": loud.toFixed(2) }} aria-hidden="true"><i></i><b></b></div>
    <div class="word">
      <p class="label">${label ? title(words(label)) : html`<span>${said.what}</span>`}</p>
      <p class="since">${since}</p>
      <p class="why">${line}</p>
    </div>
  </div>`;
}

/** The scores of the latest window: name, bar, number. */
function Bars({ stream }) {
  const scores = stream.emotion?.scores; // none yet of this run
  return html`<ul class="scorebars" aria-label="Scores of the latest window">
    ${stream.labels.map((label) => html`<li key=${label} class=${`c-${hue(label)}`}>
      <span class="name"><i aria-hidden="true"></i>${words(label)}</span>
      <span class="track" aria-hidden="true">${scores && html`<b style=${{ transform: filled(scores[label] ?? 0) }}></b>`}</span>
      <span class="value">${scores ? percent(scores[label] ?? 0) : "–"}</span>
    </li>`)}
  </ul>`;
}

/** Where a level stands between silence and full scale, 0 to 1. */
export const place = (dbfs) => Math.max(0, Math.min(1, 1 - dbfs / LOWEST_DBFS));

function Meter({ stream }) {
  const peak = useRef({ value: 0, at: 0 });
  const { level, floor } = stream;
  const share = level === null ? 0 : place(level);
  const time = performance.now();
  if (share >= peak.current.value || time - peak.current.at > 2000) peak.current = { value: share, at: time };
  const text = level === null ? "" : decibels(level);
  return html`<div class="meter">
    <h3>Level</h3>
    <div class=${`track ${stream.speaking ? "speech" : ""}`} role="meter" aria-label="Level" aria-valuemin=${LOWEST_DBFS} aria-valuemax="0"
        aria-valuenow=${Math.round(level ?? LOWEST_DBFS)} aria-valuetext=${text || "not known"}>
      <span class="fill"><b style=${{ transform: filled(share) }}></b></span>
      ${level !== null && html`<i class="peak" style=${{ left: `${(100 * peak.current.value).toFixed(1)}%` }}></i>`}
      ${floor !== null && html`<i class="floor" style=${{ left: `${(100 * place(floor)).toFixed(1)}%` }} title=${`noise floor ${decibels(floor)}`}></i>`}
    </div>
    <p class="value">${text || "–"}</p>
    <p class="note">${stream.speaking ? "speech" : level === null ? "not known" : "no speech"}${floor === null ? "" : ` · noise ${decibels(floor)}`}</p>
  </div>`;
}

/** Where the time went, from the sound to the event; each part as wide as its share. */
function Latency({ stream }) {
  const latest = stream.emotion?.latency_ms;
  const totals = stream.points.map((p) => p.latency.total).sort((a, b) => a - b);
  const at = (q) => totals[Math.min(totals.length - 1, Math.floor(q * totals.length))];
  const parts = latest ? STAGES.map((stage) => [stage, latest[stage] ?? 0]) : [];
  const sum = parts.reduce((s, [, ms]) => s + ms, 0) || 1;
  const told = parts.map(([stage, ms]) => `${stage} ${milliseconds(ms)} ms`).join(" · ");
  return html`<div class="latency">
    <h3>Latency</h3>
    <div class="strip" role="img" aria-label=${latest ? `Latest event: ${told}` : "No event yet"} title=${told}>
      ${parts.map(([stage, ms], i) => html`<span key=${stage} class=${`s${i}`} style=${{ flexGrow: (ms / sum).toFixed(4) }}><em>${stage}</em></span>`)}
    </div>
    <p class="value">${latest ? `${milliseconds(latest.total)} ms` : "–"}</p>
    <p class="note">${totals.length ? `median ${milliseconds(at(0.5))} · worst ${milliseconds(totals.at(-1))} ms` : ""}</p>
  </div>`;
}

function Plane({ points, now }) {
  const known = points.filter((p) => p.valence !== null && p.arousal !== null && p.time > now - SHOWN_S).slice(-40);
  const x = (v) => 50 + 45 * Math.max(-1, Math.min(1, v));
  const y = (a) => 50 - 45 * Math.max(-1, Math.min(1, a));
  const last = known.at(-1);
  const at = (end) => html`<span class=${end} aria-hidden="true">${end}</span>`;
  return html`<figure class="plane">
    ${at("excited")}${at("unpleasant")}
    <svg viewBox="0 0 100 100" role="img" aria-label=${last ? `Valence ${last.valence.toFixed(2)}, arousal ${last.arousal.toFixed(2)}` : "Valence and arousal: nothing yet"}>
      <path class="axes" d="M50 4V96M4 50H96"/>
      ${known.slice(1).map((p, i) => html`<line class="tail" key=${p.time} x1=${x(known[i].valence)} y1=${y(known[i].arousal)} x2=${x(p.valence)} y2=${y(p.arousal)} opacity=${((i + 1) / known.length).toFixed(2)}/>`)}
      ${last && html`<circle class="point" cx=${x(last.valence)} cy=${y(last.arousal)} r="4"/>`}
    </svg>
    ${at("pleasant")}${at("calm")}
  </figure>`;
}

function Faults({ state, stream, now }) {
  const shown = state.faults.filter((f) => f.stream === stream.name && f.time > now - 600).slice(-3).reverse();
  if (!shown.length) return null;
  return html`<ul class="faults" aria-label="Faults">
    ${shown.map((f) => html`<li key=${`${f.time}${f.code}`} class=${f.recovered ? "over" : ""}>
      <span class="sign" aria-hidden="true">${f.recovered ? "✓" : "!"}</span>
      <time>${clockTime(f.time)}</time><strong>${words(f.code)}</strong><span>${f.message}</span></li>`)}
  </ul>`;
}

function Finals({ finals, now }) {
  return html`<section class="finals"><h3>Latest segments</h3>
    ${finals.length ? html`<ol>${finals.slice(0, 8).map((f) => html`<li key=${f.id} class=${`c-${hue(f.label)}`}>
      <time>${recentTime(f.time, now)}</time><span class="name"><i aria-hidden="true"></i>${words(f.label)}</span>
      <span class="value">${percent(f.confidence)}</span><span class="length">${f.length.toFixed(1)} s</span></li>`)}</ol>`
    : html`<p class="muted">Each segment of speech is listed here when it has ended.</p>`}
  </section>`;
}
