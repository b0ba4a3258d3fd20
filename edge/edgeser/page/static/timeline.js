// The timeline: a lane for each label, to drag, to zoom by wheel, fingers and keys.

import { html, useEffect, useRef, useState } from "./vendor/preact.js";
import { TimeChart, mark } from "./chart.js";
import { colour, hue, labelColour } from "./palette.js";
import { dayAfter, dayStart, firstAfter, isOneDay, sieve } from "./archive.js";
import { clockTime, dayAndClock, dayAndTime, hourMinute, percent, words } from "./format.js";

const LANE_PX = 34;
const FAULT_LANE_PX = 26;
const AXIS_PX = 36;
const SHORTEST_S = 20;
const LONGEST_S = 3 * 86_400;
const ALPHAS = [0.5, 0.65, 0.8, 1];

const clamped = ([from, to]) => {
  const length = Math.min(LONGEST_S, Math.max(SHORTEST_S, to - from));
  const middle = (from + to) / 2;
  return [middle - length / 2, middle + length / 2];
};

const LEVELS = Uint8Array.from({ length: 101 }, (_, sure) => (sure >= 90 ? 3 : sure >= 75 ? 2 : sure >= 60 ? 1 : 0));

/** Blocks of every lane, [from, to, level] one after the other: those of a lane that touch are one,
 * so that there are never more than there are pixels. All finals are gone through once. */
function blocksOf(u, archive, days, range, labels, filter) {
  const s = devicePixelRatio;
  const scale = u.bbox.width / (range[1] - range[0]);
  const left = u.bbox.left - range[0] * scale;
  const passes = sieve(archive, filter);
  const lanes = labels.map(() => ({ from: -1, to: -1, sure: 0, blocks: [] }));
  const laneOf = archive.labels.map((label) => lanes[labels.indexOf(label)]);
  for (const data of days) {
    for (let i = firstAfter(data, range[0]); i < data.n && data.end[i] - data.length[i] < range[1]; i += 1) {
      if (!passes(data, i)) continue;
      const lane = laneOf[data.label[i]];
      const a = left + (data.end[i] - data.length[i]) * scale;
      const b = left + data.end[i] * scale;
      const level = LEVELS[data.confidence[i]];
      if (lane.to >= 0 && a <= lane.to + s && b - a < 6 * s) {
        if (b > lane.to) lane.to = b;
        if (level > lane.sure) lane.sure = level;
      } else {
        if (lane.to >= 0) lane.blocks.push(lane.from, lane.to, lane.sure);
        lane.from = a;
        lane.to = b;
        lane.sure = level;
      }
    }
  }
  return lanes.map(({ from, to, sure, blocks }) => (to >= 0 ? [...blocks, from, to, sure] : blocks));
}

function paintLane(ctx, blocks, label, top, height) {
  const s = devicePixelRatio;
  ctx.fillStyle = labelColour(label);
  for (let i = 0; i < blocks.length; i += 3) {
    const width = Math.max(2 * s, blocks[i + 1] - blocks[i]);
    ctx.globalAlpha = ALPHAS[blocks[i + 2]];
    if (width > 8 * s) {
      ctx.beginPath();
      ctx.roundRect(blocks[i], top, width, height, 4 * s);
      ctx.fill();
    } else ctx.fillRect(blocks[i], top, width, height);
  }
  ctx.globalAlpha = 1;
}

export function Timeline({ archive, days, range, setRange, filter, labels, themed, version }) {
  const plot = useRef(null);
  const host = useRef(null);
  const [at, setAt] = useState(null);
  const latest = useRef({});
  latest.current = { range, setRange };
  const height = AXIS_PX + FAULT_LANE_PX + labels.length * LANE_PX;

  const paint = (u, ctx) => {
    const s = devicePixelRatio;
    const lanes = blocksOf(u, archive, days, range, labels, filter);
    labels.forEach((label, i) => {
      const top = u.bbox.top + (FAULT_LANE_PX + i * LANE_PX + 6) * s;
      ctx.fillStyle = colour("sunken");
      ctx.fillRect(u.bbox.left, top, u.bbox.width, (LANE_PX - 12) * s);
      paintLane(ctx, lanes[i], label, top, (LANE_PX - 12) * s);
    });
    let last = -Infinity;
    for (const data of days) {
      for (const fault of data.faults) {
        if (fault.time < range[0] || fault.time > range[1]) continue;
        if (filter.stream !== "" && fault.stream !== filter.stream) continue;
        const x = u.valToPos(fault.time, "x", true);
        if (x - last < 12 * s) continue; // marks do not cover each other
        last = x;
        mark(u, ctx, fault.time, fault.recovered);
      }
    }
  };

  useEffect(() => {
    const over = host.current;
    const box = () => plot.current.over.getBoundingClientRect();
    const zoom = (factor, clientX) => {
      const { left, width } = box();
      const [from, to] = latest.current.range;
      const pivot = from + ((clientX - left) / width) * (to - from);
      latest.current.setRange(clamped([pivot - (pivot - from) * factor, pivot + (to - pivot) * factor]));
    };
    const shift = (px) => {
      const [from, to] = latest.current.range;
      const by = (px / box().width) * (to - from);
      latest.current.setRange([from + by, to + by]);
    };
    const wheel = (event) => {
      event.preventDefault();
      if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) shift(event.deltaX || event.deltaY);
      else zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) / 200), event.clientX);
    };
    const fingers = new Map();
    const down = (event) => {
      fingers.set(event.pointerId, event.clientX);
      over.setPointerCapture(event.pointerId);
    };
    const move = (event) => {
      if (!fingers.has(event.pointerId)) return;
      const before = [...fingers.values()];
      fingers.set(event.pointerId, event.clientX);
      const after = [...fingers.values()];
      if (after.length === 2) {
        const [a, b] = [Math.abs(before[0] - before[1]), Math.abs(after[0] - after[1])];
        if (a > 10 && b > 10) zoom(a / b, (after[0] + after[1]) / 2);
      } else if (after.length === 1) shift(before[0] - after[0]);
    };
    const up = (event) => fingers.delete(event.pointerId);
    const key = (event) => {
      const { left, width } = box();
      const moves = { ArrowLeft: () => shift(-width / 8), ArrowRight: () => shift(width / 8), "+": () => zoom(0.7, left + width / 2), "=": () => zoom(0.7, left + width / 2), "-": () => zoom(1 / 0.7, left + width / 2), PageUp: () => shift(-width), PageDown: () => shift(width) };
      if (!moves[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      moves[event.key]();
    };
    const listeners = [["wheel", wheel, { passive: false }], ["pointerdown", down], ["pointermove", move], ["pointerup", up], ["pointercancel", up], ["keydown", key]];
    for (const [name, handler, options] of listeners) over.addEventListener(name, handler, options);
    return () => { for (const [name, handler] of listeners) over.removeEventListener(name, handler); };
  }, []);

  const short = isOneDay(...range);
  const isMidnight = range[1] === dayAfter(dayStart(range[0]));
  const span = short ? [hourMinute(range[0]), isMidnight ? "24:00" : hourMinute(range[1])] : range.map(dayAndTime);
  const said = at === null ? "" : readout(archive, days, at, filter, (range[1] - range[0]) / 200, short ? clockTime : dayAndClock);
  return html`<div class="timeline">
    <p class="readout" aria-hidden="true">${said || span.join(" – ")}</p>
    <div class="lanes">
      <ul class="names" aria-hidden="true"><li class="faultname">faults</li>${labels.map((l) => html`<li class=${`c-${hue(l)}`}><i></i>${words(l)}</li>`)}</ul>
      <div class="grab" tabindex="0" ref=${host} role="application" aria-label="Timeline. Arrow keys move it, plus and minus zoom.">
        <${TimeChart} height=${height} range=${range} paint=${paint} themed=${`${themed}${labels.length}`} version=${version}
          label=${`Events from ${span.join(" to ")}; the table below has the same content.`}
          onPlot=${(u) => { plot.current = u; }} onHover=${(u, t) => setAt(t)} />
      </div>
    </div>
  </div>`;
}

function readout(archive, days, at, filter, near, timed) {
  const passes = sieve(archive, filter);
  for (const data of days) {
    const fault = data.faults.find((f) => Math.abs(f.time - at) < near);
    if (fault) return `${timed(fault.time)}  ${words(fault.code)}: ${fault.message}`;
    let best = -1;
    for (let i = firstAfter(data, at - near); i < data.n && data.end[i] - data.length[i] <= at + near; i += 1) {
      if (!passes(data, i)) continue;
      if (best < 0 || Math.abs(data.end[i] - at) < Math.abs(data.end[best] - at)) best = i;
    }
    if (best >= 0) return `${timed(data.end[best] - data.length[best])}  ${words(archive.labels[data.label[best]])} ${percent(data.confidence[best] / 100)}, ${data.length[best].toFixed(1)} s, ${archive.streams[data.stream[best]]}`;
  }
  return timed(at);
}
