// The scores of the last two minutes, as bands that fill the height or as lines.

import { html, useState } from "./vendor/preact.js";
import { TimeChart, canvasFont, hatch, mark } from "./chart.js";
import { colour, hue, labelColour } from "./palette.js";
import { SHOWN_S } from "./state.js";
import { remember, remembered } from "./storage.js";
import { clockTime, percent, words } from "./format.js";

const NAMED_PX = 24; // the height of a band that has room for its name

/** Points grouped by segment; between segments there was no speech. The first window of a segment that
 * continues a cut one reaches back into that: it is shown from where the one before ends. */
function segmentsOf(points) {
  const segments = [];
  for (const point of points) {
    const last = segments.at(-1);
    if (last && last[0].segment === point.segment) last.push(point);
    else segments.push([{ ...point, from: Math.max(point.from, last?.at(-1).time ?? 0) }]);
  }
  return segments;
}

/** A point's own labels: the daemon may have loaded a model with other labels since. */
const labelsOf = (point) => Object.keys(point.scores);

function shares(point, labels) {
  let sum = 0;
  for (const label of labels) sum += point.scores[label] ?? 0;
  return labels.map((label) => (point.scores[label] ?? 0) / (sum || 1));
}

function paintBands(u, ctx, segment, labels) {
  const { top, height } = u.bbox;
  const xs = [u.valToPos(segment[0].from, "x", true), ...segment.map((p) => u.valToPos(p.time, "x", true))];
  const levels = segment.map((p) => shares(p, labels));
  const columns = [levels[0], ...levels];
  let below = xs.map(() => 0);
  const gap = devicePixelRatio;
  const names = []; // drawn last, so that no band covers one
  labels.forEach((label, i) => {
    const above = below.map((b, k) => b + columns[k][i]);
    ctx.fillStyle = labelColour(label);
    ctx.beginPath();
    xs.forEach((x, k) => ctx.lineTo(x, top + height * (1 - above[k]) + gap));
    for (let k = xs.length - 1; k >= 0; k -= 1) ctx.lineTo(xs[k], top + height * (1 - below[k]));
    ctx.closePath();
    ctx.fill();
    names.push([label, xs, below, above]);
    below = above;
  });
  for (const each of names) name(u, ctx, ...each);
}

/** Draw the label's name where its band has most room for it: colour must not be the only cue. */
function name(u, ctx, label, xs, below, above) {
  const { left, top, height } = u.bbox;
  ctx.font = canvasFont(12, 600);
  const half = ctx.measureText(words(label)).width / 2 + 3 * devicePixelRatio;
  let room = NAMED_PX * devicePixelRatio;
  let at = null;
  let [from, to] = [0, 0]; // the points that the name covers
  for (const x of xs) {
    while (xs[from] < x - half) from += 1;
    while (xs[to] <= x + half) to += 1;
    if (x - half < Math.max(left, xs[0]) || x + half > xs.at(-1)) continue;
    const low = Math.max(...below.slice(from, to));
    const high = Math.min(...above.slice(from, to));
    if (height * (high - low) <= room) continue;
    room = height * (high - low);
    at = [x, top + height * (1 - (low + high) / 2)];
  }
  if (!at) return;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.fillStyle = colour(`on-${hue(label)}`);
  ctx.fillText(words(label), ...at);
}

function paintLines(u, ctx, segment, labels) {
  const dashes = [[], [7, 3], [2, 3], [9, 3, 2, 3], [4, 4]];
  labels.forEach((label, i) => {
    ctx.strokeStyle = labelColour(label);
    ctx.lineWidth = 2.5 * devicePixelRatio;
    ctx.lineJoin = "round";
    ctx.setLineDash(dashes[i % dashes.length].map((d) => d * devicePixelRatio));
    ctx.beginPath();
    ctx.moveTo(u.valToPos(segment[0].from, "x", true), u.valToPos(segment[0].scores[label] ?? 0, "y", true));
    for (const point of segment) ctx.lineTo(u.valToPos(point.time, "x", true), u.valToPos(point.scores[label] ?? 0, "y", true));
    ctx.stroke();
  });
  ctx.setLineDash([]);
}

function note(u, ctx, from, to, text) {
  if ((to - from) / devicePixelRatio < 120) return;
  ctx.font = canvasFont(12, 500);
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  const width = ctx.measureText(text).width + 20 * devicePixelRatio;
  if (width > to - from) return;
  const y = u.bbox.top + u.bbox.height / 2;
  ctx.fillStyle = colour("surface");
  ctx.beginPath();
  ctx.roundRect((from + to - width) / 2, y - 13 * devicePixelRatio, width, 26 * devicePixelRatio, 13 * devicePixelRatio);
  ctx.fill();
  ctx.fillStyle = colour("muted");
  ctx.fillText(text, (from + to) / 2, y);
}

export function Scores({ stream, state, now, themed, height }) {
  const [kind, setKind] = useState(remembered("edgeser-scores") === "lines" ? "lines" : "bands");
  const [at, setAt] = useState(null);
  const to = Math.floor(now * 4) / 4;
  const labels = stream.labels;
  const faults = state.faults.filter((f) => f.stream === stream.name && f.time > to - SHOWN_S);
  const choose = (next) => { remember("edgeser-scores", next); setKind(next); };
  const paint = (u, ctx) => {
    for (const absence of state.absences) {
      const box = hatch(u, ctx, absence.from, absence.to ?? to);
      if (box) note(u, ctx, box[0], box[1], "no daemon");
    }
    const draw = kind === "bands" ? paintBands : paintLines;
    for (const segment of segmentsOf(stream.points)) draw(u, ctx, segment, labelsOf(segment[0]));
    for (const fault of faults) mark(u, ctx, fault.time, fault.recovered);
  };
  const point = at === null ? null : stream.points.find((p) => p.from <= at && at <= p.time);
  const fault = at === null ? null : faults.find((f) => Math.abs(f.time - at) < 1.5);
  const said = fault ? `${clockTime(fault.time)}  ${words(fault.code)}: ${fault.message}`
    : point ? `${clockTime(point.time)}  ${labelsOf(point).map((l) => `${words(l)} ${percent(point.scores[l])}`).join(" · ")}`
      : "";
  const spoken = stream.emotion
    ? `Scores of the last two minutes. Latest: ${labels.map((l) => `${words(l)} ${percent(stream.emotion.scores[l])}`).join(", ")}.`
    : "Scores of the last two minutes: none yet.";
  return html`<section class="scores">
    <div class="bar">
      <h3>Scores, last two minutes</h3>
      <p class="readout" aria-hidden="true">${said}</p>
      <div class="segmented" role="group" aria-label="Drawn as">
        ${["bands", "lines"].map((k) => html`<button aria-pressed=${k === kind} onClick=${() => choose(k)}>${k}</button>`)}
      </div>
    </div>
    <${TimeChart} seconds height=${height} range=${[to - SHOWN_S, to]} paint=${paint} label=${spoken}
      version=${`${state.version}${kind}`} themed=${themed} onHover=${(u, t) => setAt(t)} />
  </section>`;
}
