// The past: a day on a timeline, a month as a calendar, a search, and both to take away.

import { html, useEffect, useMemo, useRef, useState } from "./vendor/preact.js";
import { Archive, dayAfter, dayStart, hourStart, isOneDay, summarise } from "./archive.js";
import { ask, useAgain } from "./ask.js";
import { Month } from "./month.js";
import { Timeline } from "./timeline.js";
import { hue } from "./palette.js";
import { clockOf } from "./state.js";
import { byName, clockTime, count, dayAndClock, dayName, dayRange, duration, filled, hourMinute, monthName, percent, plural, words } from "./format.js";

const SETTLED_MS = 250;
const ROWS = 100;
const MOST_ROWS = 1000; // that the server gives at once
const FIRST_DAY = "2000-01-01"; // while a year is typed it is that of Augustus
const SHORTEST_DAY_S = 23 * 3600; // clocks are put forward
const SPANS = { hour: "Hour", day: "Day", month: "Month" };

const isoDay = (unix) => {
  const d = new Date(unix * 1000);
  return `${d.getFullYear()}-${String(d.getMonth() + 1).padStart(2, "0")}-${String(d.getDate()).padStart(2, "0")}`;
};

function around(span, time) {
  if (span === "day") return [dayStart(time), dayAfter(dayStart(time))];
  return [hourStart(time), hourStart(time) + 3600];
}

const isAsLong = (span, [from, to]) => {
  const [a, b] = around(span, (from + to) / 2);
  return Math.abs(to - from - (b - a)) < 1;
};

export function Past({ state, now, themed }) {
  const [, redraw] = useState(0);
  const archive = useMemo(() => new Archive(() => redraw((n) => n + 1), () => clockOf(state)), []);
  const [span, setSpan] = useState("day");
  const turn = useRef(0);
  const [chosen, setRange] = useState(null);
  const range = chosen ?? around("day", now);
  const [filter, setFilter] = useState({ labels: [], stream: "", confidence: 0 });
  const settled = useSettled(range);
  const middle = (range[0] + range[1]) / 2;
  const day = dayStart(middle);
  const days = span === "month" ? [] : archive.between(...range);
  const whole = span === "month" ? [] : archive.between(day, dayAfter(day));
  const labels = [...new Set([...[...state.streams.values()].flatMap((s) => s.labels), ...archive.labels])].sort((a, b) => (a === "unknown") - (b === "unknown") || byName(a, b));
  const streams = [...new Set([...archive.streams, ...state.streams.keys()])].sort(byName);

  const isKnown = useKnown(state, now);
  const trouble = span === "month" ? "" : archive.troubleIn(...range) || archive.troubleIn(day, dayAfter(day));

  const sums = useMemo(() => summarise(archive, whole, day, dayAfter(day), filter), [day, filter, whole.length, whole[0]]);
  const summed = filter.labels.length ? labels.filter((l) => filter.labels.includes(l)) : labels;
  /** Of a day or more the hour that is going on, or the newest in which something was said. */
  const hourIn = async ([from, to]) => {
    if (to - from < SHORTEST_DAY_S) return middle;
    if (from <= now && now < to) return now;
    const { events } = await ask("/api/events", { ...fields, since: from, before: to, topic: "emotion.", order: "newest", limit: 1 });
    return events[0]?.event.time ?? middle;
  };
  const go = async (next, time) => {
    const mine = turn.current += 1;
    const at = time ?? (next === "hour" ? await hourIn(range).catch(() => middle) : middle);
    if (mine !== turn.current) return; // something else was chosen since
    setSpan(next);
    if (next !== "month") setRange(around(next, at));
    else if (time !== undefined) setRange(around("day", time)); // whose month it is
  };
  const step = (by) => {
    if (span === "month") {
      const d = new Date(day * 1000);
      setRange([by, by + 1].map((m) => new Date(d.getFullYear(), d.getMonth() + m, 1).getTime() / 1000));
    } else if (span === "day") setRange(around("day", dayAfter(day, by) + 1));
    else setRange([range[0] + by * 3600, range[1] + by * 3600]);
  };
  // While the timeline moves only the timeline is drawn: what stands beside it stays what it is.
  const summary = useMemo(
    () => html`<${Summary} ...${{ day, isAll: isOneDay(...range), labels: summed, sums, read: whole.length > 0, known: isKnown(day), trouble }} />`,
    [day, isOneDay(...range), summed.join(), sums, trouble, isKnown(day)],
  );
  const heading = span === "month" ? monthName(middle) : isOneDay(...range) ? dayName(range[0]) : dayRange(...range);
  const fields = { since: settled[0], before: settled[1], topic: filter.labels.length || filter.confidence ? ["emotion."] : ["emotion.", "fault."], label: filter.labels, stream: filter.stream, confidence: filter.confidence ? filter.confidence / 100 : "" };

  const found = useMemo(() => html`<${Found} ...${{ fields, setRange, clock: archive.clock, several: streams.length > 1, told: trouble }} />`, [JSON.stringify(fields), streams.length > 1, trouble]);

  // A date that is half typed is not drawn over: the field is drawn anew for another day alone.
  const shownDay = isoDay(middle);
  const pick = ({ value, validity }) => { if (value && validity.valid) go(span, new Date(`${value}T12:00`).getTime() / 1000); };
  const leave = (field) => { // WebKit tells of a change only once it has been left
    if (field.value !== shownDay) pick(field);
    field.value = shownDay;
  };
  const dateField = useMemo(
    () => html`<input type="date" min=${FIRST_DAY} max="9999-12-31" value=${shownDay} onChange=${(e) => pick(e.target)} onBlur=${(e) => leave(e.target)} />`,
    [shownDay, span],
  );

  return html`<div class="toolbar">
      <div class="segmented" role="group" aria-label="Span">${Object.entries(SPANS).map(([k, name]) => html`<button aria-pressed=${k === "month" || span === "month" ? k === span : isAsLong(k, range)} onClick=${() => go(k)}>${name}</button>`)}</div>
      <div class="step">
        <button class="icon" aria-label="Back" onClick=${() => step(-1)}>‹</button>
        <h2 aria-live="polite">${heading}</h2>
        <button class="icon" aria-label="Forward" onClick=${() => step(1)}>›</button>
      </div>
      <div class="goto">
        <label class="date"><span class="hidden">Go to day</span>${dateField}</label>
        <button class="plain" onClick=${() => go(span, now)}>Today</button>
      </div>
    </div>
    <${Filter} ...${{ filter, setFilter, labels, streams }} />
    ${trouble && html`<p class="trouble card" role="alert">${trouble}</p>`}
    ${span === "month"
      ? html`<${Month} ...${{ middle, now, isKnown, filter, labels, open: (d) => go("day", d + 1) }} />`
      : html`<section class="card"><${Timeline} ...${{ archive, days, range, setRange, filter, labels, themed, version: JSON.stringify([days.map((d) => d.at), labels, filter]) }} /></section>
        <div class="columns">
          ${summary}
          ${found}
        </div>`}`;
}

/** Tells whether the journal reaches into a day; null where that is not known yet. While the daemon is heard, and keeps one, it reaches up to now. */
function useKnown(state, now) {
  const [held, setHeld] = useState(null);
  const again = useAgain(true);
  useEffect(() => { ask("/api/journal").then(setHeld).catch(() => {}); }, [again]); // what failed is asked again
  return (day) => held && held.first !== null && held.first < dayAfter(day) && day <= (state.link.heard && isKept(state) ? now : held.last);
}

/** Each status has what the journal holds of this run: nothing, though something was said, where none is kept. */
const isKept = (state) => [...state.streams.values()].every(({ status }) => !status?.counters.finals || Object.keys(status.journal).length > 0);

/** A value once it has rested for a moment: nothing is asked while something moves. */
function useSettled(value) {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), SETTLED_MS);
    return () => clearTimeout(timer);
  }, [value[0], value[1]]);
  return settled;
}

function Filter({ filter, setFilter, labels, streams }) {
  const toggle = (label) => setFilter({ ...filter, labels: filter.labels.includes(label) ? filter.labels.filter((l) => l !== label) : [...filter.labels, label] });
  return html`<div class="filter" role="search" aria-label="Search the journal">
    <div class="labels" role="group" aria-label="Labels">${labels.map((l) => html`<button class=${`tag c-${hue(l)}`} aria-pressed=${filter.labels.includes(l)} onClick=${() => toggle(l)}><i aria-hidden="true"></i>${words(l)}</button>`)}</div>
    <label class="range">score from <input type="range" min="0" max="95" step="5" value=${filter.confidence} onInput=${(e) => setFilter({ ...filter, confidence: Number(e.target.value) })} aria-valuetext=${`${filter.confidence} percent`} /><output>${percent(filter.confidence / 100)}</output></label>
    <label class="pick">Stream <select value=${filter.stream} onChange=${(e) => setFilter({ ...filter, stream: e.target.value })}><option value="">all</option>${streams.map((s) => html`<option value=${s}>${s}</option>`)}</select></label>
  </div>`;
}

/** `labels`: a row for each, of a day without it as well: nothing moves from day to day. */
function Summary({ day, isAll, labels, sums, read, known, trouble }) {
  const order = labels.map((l) => [l, sums.byLabel.get(l) ?? 0]).sort((a, b) => b[1] - a[1]);
  const busiest = [...sums.hours].sort((a, b) => b[1] - a[1])[0];
  const facts = [
    ["Speech", sums.finals ? duration(sums.speech) : read && known ? "none" : "–"],
    ["Segments", read && known ? count(sums.finals) : "–"],
    ["First to last", sums.first === null ? "–" : `${hourMinute(sums.first)} – ${hourMinute(sums.last)}`],
    ["Busiest hour", busiest ? `${hourMinute(busiest[0])}, ${duration(busiest[1])}` : "–"],
    ["Longest", sums.longest ? `${sums.longest.toFixed(1)} s` : "–"],
    ["Mean score", sums.finals ? percent(sums.confidence / sums.finals / 100) : "–"],
    ["Faults", read && known ? count(sums.faults) : "–"],
  ];
  return html`<section class="card summary" aria-label=${`Summary of ${dayName(day)}`}>
    <h3>${isAll ? "The day" : dayName(day)}</h3>
    <p class="label">${sums.finals ? `Mostly ${words(order[0][0])}` : known === false ? "No data for this day" : read && known ? "Nothing was said" : trouble ? "Not known" : "…"}</p>
    <div class="stack" aria-hidden="true">${order.map(([l, s]) => s > 0 && html`<span class=${`c-${hue(l)}`} style=${{ flexGrow: s }}></span>`)}</div>
    <ul class="scorebars">${order.map(([l, s]) => html`<li key=${l} class=${`c-${hue(l)}`}><span class="name"><i aria-hidden="true"></i>${words(l)}</span>
      <span class="track" aria-hidden="true">${s > 0 && html`<b style=${{ transform: filled(s / sums.speech) }}></b>`}</span><span class="value">${sums.speech ? percent(s / sums.speech) : "–"}</span></li>`)}</ul>
    <dl>${facts.map(([k, v]) => html`<div><dt>${k}</dt><dd>${v}</dd></div>`)}</dl>
  </section>`;
}

/** `several`: a row names its stream. `told`: the trouble that stands above already. */
function Found({ fields, setRange, clock, several, told }) {
  const [page, setPage] = useState({ of: "", events: [], next: null, trouble: "" });
  const key = JSON.stringify(fields);
  const asked = useRef("");
  const wanted = { ...fields, order: "newest" };
  const failed = (error) => setPage((held) => ({ ...(held.of === key ? held : { events: [], next: null }), of: key, trouble: error.message }));
  const again = useAgain(page.trouble !== "" || fields.before > clock());
  useEffect(() => {
    const limit = Math.max(ROWS, page.of === key ? page.events.length : 0);
    asked.current = key;
    if (limit > MOST_ROWS) return; // who reads so far back is not taken away from there
    ask("/api/events", { ...wanted, limit })
      .then((p) => { if (asked.current === key) setPage((held) => (held.of === key && held.events.length > limit ? held : { ...p, of: key, trouble: "" })); })
      .catch((error) => { if (asked.current === key) failed(error); });
  }, [key, again]);
  const more = () => ask("/api/events", { ...wanted, limit: ROWS, after: page.next })
    .then((p) => setPage((held) => (held.of === key && held.next === page.next ? { ...p, of: key, events: [...held.events, ...p.events], trouble: "" } : held)))
    .catch((error) => { if (asked.current === key) failed(error); });
  const isKnown = page.events.length > 0 || (page.of && !page.trouble);
  const much = !isKnown ? "Events" : page.next === null ? plural(page.events.length, "event") : `The latest ${count(page.events.length)} events`;
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) for (const v of [value].flat()) if (v !== "") query.append(name, v);
  const timed = isOneDay(fields.since, fields.before) ? clockTime : dayAndClock;
  const look = (event) => { const t = event.time; setRange([t - 60, t + 60]); };
  return html`<section class="card found" aria-busy=${page.of !== key}>
    <div class="bar"><h3>${much} in view</h3>
      <a class="plain" href=${`/api/events.csv?${query}`} download>CSV</a><a class="plain" href=${`/api/events.json?${query}`} download>JSON</a></div>
    <div class="scroll" tabindex="0"><table><thead><tr><th>Time</th><th>What</th><th class="n">Score</th><th class="n">Length</th>${several && html`<th class="where">Stream</th>`}</tr></thead>
    <tbody>${page.events.map(({ id, event: e }) => html`<tr key=${id}>
      <td><button class="link" onClick=${() => look(e)} aria-label=${`Show ${timed(e.time)} on the timeline`}>${timed(e.time)}</button></td>
      ${e.type === "fault"
        ? html`<td colspan="3" class=${e.recovered ? "over" : ""}><span class="sign" aria-hidden="true">${e.recovered ? "✓" : "!"}</span> <strong>${words(e.code)}</strong> ${e.message}</td>`
        : html`<td class=${`c-${hue(e.label)}`}><span class="name"><i aria-hidden="true"></i>${words(e.label)}</span></td><td class="n">${percent(e.confidence)}</td><td class="n">${(e.end - e.start).toFixed(1)} s</td>`}
      ${several && html`<td class="where">${e.stream}</td>`}</tr>`)}</tbody></table>
    ${page.trouble ? page.trouble !== told && html`<p class="trouble">${page.trouble}</p>` : isKnown && page.events.length === 0 && html`<p class="muted">Nothing in this range. Zoom out, or use fewer filters.</p>`}
    ${page.next !== null && html`<button class="plain more" onClick=${more}>Earlier</button>`}</div>
  </section>`;
}
