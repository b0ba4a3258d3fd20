// How the daemon is, and what it runs.

import { html, useEffect, useState } from "./vendor/preact.js";
import { ask } from "./ask.js";
import { Overview } from "./overview.js";
import { Table } from "./table.js";
import { explain, isTrouble, survey } from "./state.js";
import { bytes, count, dayAndTime, duration, percent, recentTime, words } from "./format.js";

const ASKED_MS = 15_000;

export function Health({ state, now }) {
  const streams = survey(state, now);
  const status = streams.find(({ stream }) => stream.status)?.stream.status;
  const troubled = streams.filter(({ said }) => isTrouble(said)).length;
  const note = troubled ? `${count(troubled)} in trouble` : "none in trouble";
  return html`<div class="health">
    ${streams.length ? html`<${Overview} known=${{ streams, state, now }} note=${note} Cards=${Cards} Table=${Rows} />` : html`<${Absent} said=${explain(state, undefined, now)} />`}
    <div class="pair"><${Journal} state=${state} /><${Versions} state=${state} status=${status} /></div>
    ${status && html`<${Model} status=${status} />`}
    <${Faults} state=${state} now=${now} />
  </div>`;
}

const Facts = ({ facts }) => html`<dl>${facts.map(([k, v, bad]) => html`<div class=${bad ? "bad" : ""}><dt>${k}</dt><dd>${v}</dd></div>`)}</dl>`;

const Absent = ({ said }) => html`<section class="card"><div class="bar"><h2>The daemon</h2><p class=${`chip ${said.kind}`}><i aria-hidden="true"></i><span>${said.what}</span></p></div><p class="muted why">${said.why}</p></section>`;

function factsOf(stream, now) {
  const s = stream.status;
  if (!s) return [];
  const c = s.counters;
  const age = s.frame_age_s !== null ? s.frame_age_s + Math.max(0, now - stream.statusAt - 1.2) : null;
  return [
    ["Last sound", age === null ? "never" : age < 1 ? "now" : `${duration(age)} ago`, age === null || age > 1.5],
    ["Up for", duration(s.uptime_s)],
    ["Heard", duration(s.position_s)],
    ["Segments", count(c.segments)],
    ["Finals", count(c.finals)],
    ["Partials", count(c.partials)],
    ["Dropped windows", count(c.dropped_windows), c.dropped_windows > 0],
    ["Lost sound", c.lost_samples ? `${(c.lost_samples / 16_000).toFixed(2)} s` : "none", c.lost_samples > 0],
    ["Overflows", count(c.overflows), c.overflows > 0],
    ["Restarts", count(c.restarts), c.restarts > 0],
    ["Faults", count(c.faults), c.faults > 0],
  ];
}

const Cards = ({ streams, now }) => streams.map(({ stream, said }) => html`<section key=${stream.name} class="card">
  <div class="bar"><h2 class="streamname" title=${stream.name}>${stream.name}</h2><p class=${`chip ${said.kind}`}><i aria-hidden="true"></i><span>${said.what}</span></p></div>
  <${Details} ...${{ stream, said, now }} /></section>`);

const Details = ({ stream, said, now }) => html`<p class="muted why">${said.why || "All is well."}</p><${Facts} facts=${factsOf(stream, now)} />`;

/** The facts that fit into a row. */
const COLUMNS = ["Last sound", "Finals", "Dropped windows", "Lost sound", "Restarts", "Faults"];

const Rows = (known) => html`<${Table} kind="counts" ...${known} Cells=${Counts} Opened=${Opened} head=${COLUMNS.map((name) => html`<span>${name}</span>`)} />`;

function Counts({ stream, lost, now }) {
  const facts = new Map(factsOf(stream, now).map(([name, ...fact]) => [name, fact]));
  return html`<div class="cells">${COLUMNS.map((name) => {
    const [value, bad] = facts.get(name) ?? ["–"];
    return html`<p class=${bad && !lost ? "bad" : ""}><span>${name.toLowerCase()} </span>${value}</p>`;
  })}</div>`;
}

const Opened = (one) => html`<div class="opened"><${Details} ...${one} /></div>`;

function Journal({ state }) {
  const [held, setHeld] = useState(null);
  const [trouble, setTrouble] = useState("");
  useEffect(() => {
    const look = () => ask("/api/journal").then((h) => { setHeld(h); setTrouble(""); }).catch((e) => setTrouble(e.message));
    look();
    const timer = setInterval(look, ASKED_MS);
    return () => clearInterval(timer);
  }, []);
  const facts = held ? [
    ["From", held.first === null ? "–" : dayAndTime(held.first)], ["To", held.last === null ? "–" : dayAndTime(held.last)],
    ["Spans", held.first === null ? "–" : duration(held.last - held.first)], ["Events", count(held.events)], ["Size", bytes(held.bytes)],
  ] : [];
  const ranges = Object.entries([...state.streams.values()].find((s) => s.status)?.status.journal ?? {});
  return html`<section class="card"><h2>Journal</h2>${trouble && html`<p class="trouble">${trouble}</p>`}<${Facts} facts=${facts} />
    ${ranges.length > 0 && html`<details><summary>Event numbers of this run</summary><dl>${ranges.map(([t, r]) => html`<div><dt>${t}</dt><dd>${count(r.first)} – ${count(r.last)}</dd></div>`)}</dl></details>`}</section>`;
}

function Model({ status }) {
  const { name, version, sha256 } = status.model;
  const [read, setRead] = useState(null);
  const card = read?.sha256 === sha256 ? read : null; // not the previous model's while a new one loads
  const [trouble, setTrouble] = useState("");
  useEffect(() => {
    ask(`/api/model/${encodeURIComponent(name)}/${encodeURIComponent(sha256)}`).then((c) => { setRead(c); setTrouble(""); }).catch((e) => setTrouble(e.message));
  }, [sha256]);
  const figure = (f) => `${(100 * f.value).toFixed(1)} % (${(100 * f.low).toFixed(1)}\u00a0to\u00a0${(100 * f.high).toFixed(1)})`;
  const facts = [["Name", `${name} ${version}`], ["Runs on", status.backend + (status.backend_reason ? `: ${status.backend_reason}` : "")]];
  if (card) {
    const { corpora, date, licence, protocol, ua, wa } = card.training;
    const [unknown, ...known] = card.unseen?.rows ?? []; // none: it does not learn voices
    facts.push(["Labels", card.labels.map(words).join(", ")], ["Trained on", `${corpora.join(", ")}, ${date}`], ["Licence of the data", licence],
      ...(ua ? [["Protocol", protocol], ["Unweighted accuracy", figure(ua)], ["Weighted accuracy", figure(wa)]] : []),
      ...(unknown ? [["Recall of an unknown voice", figure(unknown.ua4)]] : []), ...(known.length ? [["Recall of a known voice", figure(known.at(-1).ua4)]] : []),
      ...(ua || card.unseen ? [] : [["Accuracy", "not evaluated"]]),
      ["Label is unknown below", card.abstain_below ? percent(card.abstain_below) : "never"], ["Looks at", `${card.window.min_seconds} to ${card.window.max_seconds} s of speech`]);
  }
  return html`<section class="card"><h2>Model</h2><${Facts} facts=${facts} />${!card && html`<p class="muted">${trouble || "Reading its card …"}</p>`}
    <p class="hash" title="SHA-256 of the model's file">${sha256}</p></section>`;
}

const Versions = ({ state, status }) => html`<section class="card"><h2>Version</h2><${Facts} facts=${[
  ["This page", state.hello?.version ?? "–"], ["Events", status ? `version ${status.v}` : "–"], ["Run of the daemon", status?.epoch ?? "–"], ["Endpoint", state.hello?.endpoint ?? "–"]]} /></section>`;

function Faults({ state, now }) {
  const faults = [...state.faults].reverse();
  return html`<section class="card wide"><h2>Latest faults</h2>
    ${faults.length === 0 ? html`<p class="muted">None so far.</p>` : html`<ul class="faults">${faults.map((f) => html`<li key=${`${f.time}${f.code}${f.stream}`} class=${f.recovered ? "over" : ""}>
      <span class="sign" aria-hidden="true">${f.recovered ? "✓" : "!"}</span><time>${recentTime(f.time, now)}</time><strong>${words(f.code)}</strong>
      <span>${f.stream}: ${f.message}${state.hello?.fault_codes[f.code] ? html`<em> (${state.hello.fault_codes[f.code]})</em>` : null}</span></li>`)}</ul>`}
  </section>`;
}
