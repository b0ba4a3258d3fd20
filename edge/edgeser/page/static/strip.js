// The last two minutes of a stream in one line: speech has the colour of its label, and the height of
// the model's confidence.

import { html, useEffect, useRef } from "./vendor/preact.js";
import { colour, labelColour } from "./palette.js";
import { SHOWN_S } from "./state.js";
import { duration, words } from "./format.js";

/** [from, to, label, confidence] of each window; within a segment each begins where the last ended. */
function windowsOf(points) {
  return points.map((p, i) => {
    const before = points[i - 1];
    return [before?.segment === p.segment ? before.time : p.from, p.time, p.label, p.confidence];
  });
}

function paint(canvas, windows, absences, faults, to) {
  const s = devicePixelRatio;
  const width = Math.round(canvas.clientWidth * s);
  const height = Math.round(canvas.clientHeight * s);
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const ctx = canvas.getContext("2d");
  const x = (time) => Math.round(width * (1 - (to - time) / SHOWN_S));
  const block = (from, till, share, fill) => {
    ctx.fillStyle = fill;
    ctx.fillRect(x(from), height * (1 - share), Math.max(s, x(till) - x(from)), height * share);
  };
  ctx.clearRect(0, 0, width, height);
  for (const absence of absences) block(absence.from, absence.to ?? to, 1, colour("hatch"));
  for (const [from, till, label, confidence] of windows) block(from, till, confidence, labelColour(label));
  for (const fault of faults) block(fault.time, fault.time + 1, 1, colour(fault.recovered ? "muted" : "bad"));
}

function inWords(windows, to) {
  const lengths = new Map();
  let sum = 0;
  for (const [from, till, label] of windows) {
    const length = Math.max(0, till - Math.max(from, to - SHOWN_S));
    sum += length;
    lengths.set(label, (lengths.get(label) ?? 0) + length);
  }
  const [most] = [...lengths].sort((a, b) => b[1] - a[1]);
  return sum ? `Last two minutes: ${duration(sum)} of speech, mostly ${words(most[0])}` : "Last two minutes: no speech";
}

/** Drawn once a second. */
export function Strip({ stream, state, now, themed }) {
  const canvas = useRef(null);
  const to = Math.floor(now);
  useEffect(() => {
    const windows = windowsOf(stream.points);
    paint(canvas.current, windows, state.absences, state.faults.filter((f) => f.stream === stream.name), to);
    canvas.current.ariaLabel = inWords(windows, to);
  }, [to, themed]);
  return html`<canvas ref=${canvas} role="img"></canvas>`;
}
