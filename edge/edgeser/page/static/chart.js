// uPlot as a component: one time axis, content drawn by our own painter, in the colours of the theme.

import { html, useEffect, useLayoutEffect, useRef } from "./vendor/preact.js";
import { clockTime, dayOfMonth, hourMinute } from "./format.js";
import { colour } from "./palette.js";

/** Room for half a label beyond either end of the axis; app.css takes it back where the chart has its own width. */
const EDGE_PX = 30;

const FAMILY = '"Inter Variable", system-ui, sans-serif';

/** A size in pixels, scaled with the page's font size, which is larger on wall displays. */
const scaled = (size) => (size * parseFloat(getComputedStyle(document.documentElement).fontSize)) / 16;

/**
 * `range`: [from, to] in Unix seconds; `paint(u, ctx)` draws within the plot's box;
 * `label`: the content in words. `onPlot(u)` is called with the plot once it exists.
 */
export function TimeChart({ height, range, paint, label, version, themed, onPlot, onHover, seconds }) {
  const host = useRef(null);
  const plot = useRef(null);
  const latest = useRef({});
  latest.current = { range, paint, onHover };

  useLayoutEffect(() => {
    const axis = { // whole pixels, since uPlot scales only the digits after the point of a fraction
      stroke: () => colour("muted"), font: `${Math.round(scaled(12))}px ${FAMILY}`, size: scaled(28), gap: 6, space: 90,
      grid: { stroke: () => colour("line"), width: 1 },
      ticks: { show: false },
      values: seconds ? (u, splits) => splits.map((t) => {
        const back = Math.round(latest.current.range[1] - t);
        return back <= 1 ? "now" : back % 60 === 0 ? `${back / 60} min` : `${back} s`;
      }) : (u, splits) => splits.map((t) => timeOfDay(t, splits[1] - splits[0])),
      splits: seconds ? (u) => {
        const to = latest.current.range[1];
        const step = u.bbox.width / devicePixelRatio < 420 ? 60 : 30;
        return Array.from({ length: 120 / step + 1 }, (_, i) => to - 120 + i * step);
      } : undefined,
    };
    const made = new uPlot({
      width: host.current.clientWidth, height,
      padding: [8, EDGE_PX, 0, EDGE_PX],
      legend: { show: false },
      cursor: { show: Boolean(onHover), y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: { x: { time: true, auto: false, range: () => latest.current.range }, y: { auto: false, range: [0, 1] } },
      axes: [axis, { show: false }],
      series: [{}, { show: true, stroke: "transparent", points: { show: false } }],
      hooks: {
        draw: [(u) => {
          const { ctx, bbox } = u;
          ctx.save();
          ctx.beginPath();
          ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
          ctx.clip();
          latest.current.paint(u, ctx);
          ctx.restore();
        }],
        setCursor: [(u) => latest.current.onHover?.(u, u.cursor.left >= 0 ? u.posToVal(u.cursor.left, "x") : null)],
      },
    }, [[range[0], range[1]], [null, null]], host.current);
    plot.current = made;
    onPlot?.(made);
    const sized = new ResizeObserver(([entry]) => made.setSize({ width: Math.max(80, entry.contentRect.width), height }));
    sized.observe(host.current);
    return () => { sized.disconnect(); made.destroy(); };
  }, [height, themed]);

  useEffect(() => {
    plot.current?.setData([[range[0], range[1]], [null, null]]);
  }, [range[0], range[1], version]);

  return html`<div class="plot" ref=${host} role="img" aria-label=${label}></div>`;
}

/** Midnight as a date; other times with seconds if the marks are close together. */
function timeOfDay(time, apart) {
  const date = new Date(time * 1000);
  if (date.getHours() + date.getMinutes() + date.getSeconds() === 0) return dayOfMonth(time);
  return apart < 60 ? clockTime(time) : hourMinute(time);
}

/** Slanted lines over a time of which nothing is known. */
export function hatch(u, ctx, from, to) {
  const { left, top, width, height } = u.bbox;
  const a = Math.max(left, u.valToPos(from, "x", true));
  const b = Math.min(left + width, u.valToPos(to, "x", true));
  if (b - a < 1) return null;
  ctx.save();
  ctx.beginPath();
  ctx.rect(a, top, b - a, height);
  ctx.clip();
  ctx.fillStyle = colour("sunken");
  ctx.fillRect(a, top, b - a, height);
  ctx.strokeStyle = colour("hatch");
  ctx.lineWidth = devicePixelRatio;
  ctx.beginPath();
  for (let x = a - height - ((a - height) % (9 * devicePixelRatio)); x < b; x += 9 * devicePixelRatio) {
    ctx.moveTo(x, top + height);
    ctx.lineTo(x + height, top);
  }
  ctx.stroke();
  ctx.restore();
  return [a, b];
}

/** A fault's mark: a thin line and a triangle, so that colour is not the only cue. */
export function mark(u, ctx, time, recovered) {
  const x = u.valToPos(time, "x", true);
  const { top, height } = u.bbox;
  const s = devicePixelRatio;
  ctx.fillStyle = ctx.strokeStyle = colour(recovered ? "muted" : "bad");
  ctx.lineWidth = 1.5 * s;
  ctx.setLineDash([3 * s, 3 * s]);
  ctx.beginPath();
  ctx.moveTo(x, top + 16 * s);
  ctx.lineTo(x, top + height);
  ctx.stroke();
  ctx.setLineDash([]);
  ctx.beginPath();
  ctx.moveTo(x, top + 2 * s);
  ctx.lineTo(x + 8 * s, top + 16 * s);
  ctx.lineTo(x - 8 * s, top + 16 * s);
  ctx.closePath();
  ctx.fill();
  ctx.fillStyle = colour("surface");
  ctx.font = `700 ${10 * s}px ${FAMILY}`;
  ctx.textAlign = "center";
  ctx.textBaseline = "alphabetic";
  ctx.fillText("!", x, top + 14 * s);
}

export const canvasFont = (size, weight = 500) => `${weight} ${scaled(size) * devicePixelRatio}px ${FAMILY}`;
