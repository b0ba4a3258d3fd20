// What the page knows, from the messages so far. No drawing, no network; times are Unix seconds.

import { byName, recentTime } from "./format.js";

export const SHOWN_S = 120;
const KEPT_S = SHOWN_S + 10;
const FINALS = 12;
const FAULTS = 50;
const STREAMS = 256;

/** Each stream tells its status once a second: while one tells so many in a run of the daemon, one
 * that tells none is no part of it. */
const STATUSES = 3;

export function newState() {
  return {
    hello: null,
    connected: null,       // to the page's own server; null: that is being tried
    live: false,           // what comes is new, not what was before this page was opened
    link: { heard: false, time: 0, trouble: "" },
    absences: [],          // {from, to}: nothing was heard of the daemon
    streams: new Map(),
    leftOutAt: 0,          // when there was no room for a stream
    faults: [],
    epoch: "",
    skew: 0,               // the daemon's clock less ours
    version: 0,
  };
}

function newStream(name) {
  return {
    name, labels: [], status: null, statusAt: 0, statuses: 0, gone: false, level: null, floor: null, levelAt: 0,
    speaking: false, segmentFrom: 0, lastSpeech: 0,
    emotion: null, smoothed: null, smoothedFrom: 0, points: [], finals: [], seen: new Map(),
  };
}

export const clockOf = (state, nowMs = Date.now()) => nowMs / 1000 + state.skew;

/** By a message that was sent just now. */
function setClock(state, message, nowMs) {
  const skew = message.time - nowMs / 1000;
  state.skew = Math.abs(skew) < 0.5 ? 0 : skew;
}

/** Take a message. Mutates, for a message comes ten times a second and more. */
export function apply(state, message, nowMs = Date.now()) {
  state.version += 1;
  switch (message.type) {
    case "hello": {
      Object.assign(state, newState(), { connected: true, version: state.version, faults: state.faults });
      setClock(state, message, nowMs);
      state.hello = message;
      state.link = message.link;
      return;
    }
    case "ready":
      state.live = true;
      noteAbsence(state);
      return;
    case "beat": return;
    case "link": applyLink(state, message); return;
    case "gap": applyGap(state, message, nowMs); return;
    default:
  }
  if (typeof message.stream !== "string" || typeof message.time !== "number") return;
  const stream = streamOf(state, message.stream, message.time);
  if (!stream || isTwice(stream, message)) return;
  if (message.epoch !== state.epoch) enterRun(state, message);
  stream.gone = false;
  switch (message.type) {
    case "status": applyStatus(state, stream, message, nowMs); break;
    case "level": applyLevel(stream, message); break;
    case "speech": applySpeech(stream, message); break;
    case "emotion": applyEmotion(stream, message); break;
    case "fault": applyFault(state, message); break;
    default:
  }
  forget(state, clockOf(state, nowMs) - KEPT_S);
}

function streamOf(state, name, time) {
  let stream = state.streams.get(name);
  if (!stream && state.streams.size < STREAMS) {
    stream = newStream(name);
    state.streams.set(name, stream);
  }
  if (!stream) state.leftOutAt = time;
  return stream;
}

/** Whether the daemon has streams that are not shown: each would tell its status once a second. */
export const hasMore = (state, now) => now - state.leftOutAt < 5;

/** Whether an event came before: once live and once replayed. */
function isTwice(stream, event) {
  const last = stream.seen.get(event.type);
  if (last && last.epoch === event.epoch && event.seq <= last.seq) return true;
  stream.seen.set(event.type, { epoch: event.epoch, seq: event.seq });
  return false;
}

function applyLink(state, link) {
  state.link = link;
  const open = state.absences.at(-1);
  if (link.heard && open && open.to === null) open.to = link.time;
  noteAbsence(state);
  if (!link.heard) for (const stream of state.streams.values()) silence(stream);
}

/** A daemon that was never heard is not missed. */
function noteAbsence(state) {
  const { heard, time } = state.link;
  if (heard || time === null || state.absences.at(-1)?.to === null) return;
  state.absences.push({ from: time, to: null, epoch: state.epoch });
}

function silence(stream) {
  stream.speaking = false;
  stream.level = stream.floor = null;
}

/** Another run of the daemon, which knows nothing of what the last one heard. The time before it
 * began stays marked; one that only could not be heard for a while is not another run, and replay
 * has filled the gap. */
function enterRun(state, event) {
  state.epoch = event.epoch;
  for (const stream of state.streams.values()) {
    silence(stream);
    stream.status = stream.emotion = stream.smoothed = null;
    stream.statuses = 0;
  }
}

function applyGap(state, gap, nowMs) {
  const many = gap.to_seq === null ? "some events" : `${gap.to_seq - gap.from_seq + 1} events`;
  applyFault(state, {
    type: "gap", time: clockOf(state, nowMs), stream: gap.topic.split(".").slice(1).join("."),
    epoch: gap.epoch, seq: `${gap.topic} ${gap.from_seq}`, code: "events_missed", recovered: false,
    message: `${many} of ${gap.topic} were missed and are kept nowhere`,
  });
}

function applyStatus(state, stream, event, nowMs) {
  stream.status = event;
  stream.statusAt = event.time;
  stream.statuses += 1;
  if (state.live && stream.statuses >= STATUSES) {
    for (const other of state.streams.values()) other.gone ||= !other.status;
  }
  if (state.live) setClock(state, event, nowMs);
  const last = state.absences.at(-1);
  if (last && last.to !== null && last.epoch !== undefined) {
    if (last.epoch === event.epoch) state.absences.pop();
    else last.to = Math.max(last.from, Math.min(last.to, event.time - event.uptime_s));
    if (last.epoch !== event.epoch) delete last.epoch;
  }
  if (event.state === "speech") stream.lastSpeech = event.time;
  if (event.time - stream.levelAt > 1.5) {
    stream.level = event.level_dbfs ?? null;
    stream.floor = event.noise_floor_dbfs ?? null;
    if (event.state !== "speech") stream.speaking = false;
  }
}

function applyLevel(stream, event) {
  stream.level = event.level_dbfs ?? null;
  stream.floor = event.noise_floor_dbfs ?? null;
  stream.levelAt = event.time;
  if (typeof event.speech !== "boolean") return;
  if (event.speech && !stream.speaking) stream.segmentFrom = event.time; // its start is told later
  stream.speaking = event.speech;
}

function applySpeech(stream, event) {
  if (event.state === "start" && !stream.speaking) stream.segmentFrom = event.time;
  stream.speaking = event.state === "start";
  stream.lastSpeech = event.time;
}

function applyEmotion(stream, event) {
  const length = event.end - event.start;
  const point = {
    time: event.time, from: event.time - length, segment: `${event.epoch}:${event.segment}`,
    scores: event.scores, label: event.label, confidence: event.confidence, kind: event.kind,
    latency: event.latency_ms, valence: event.valence ?? null, arousal: event.arousal ?? null,
  };
  stream.labels = Object.keys(event.scores);
  stream.emotion = event;
  stream.lastSpeech = event.time;
  if (event.smoothed.label !== stream.smoothed) {
    stream.smoothed = event.smoothed.label;
    stream.smoothedFrom = event.time - Math.max(0, event.end - event.smoothed.since);
  }
  insert(stream.points, point);
  if (event.kind === "final") {
    stream.finals.unshift({ ...point, length, id: `${event.epoch}:${event.seq}` });
    stream.finals.length = Math.min(stream.finals.length, FINALS);
  }
}

/** By time: what a replay brings is older than what is there. */
function insert(points, point) {
  let at = points.length;
  while (at && points[at - 1].time > point.time) at -= 1;
  points.splice(at, 0, point);
}

/** One that is known already is told again to who comes back. */
function applyFault(state, event) {
  if (state.faults.some((f) => f.seq === event.seq && f.epoch === event.epoch && f.stream === event.stream)) return;
  state.faults.push(event);
  if (state.faults.length > FAULTS) state.faults.shift();
}

function forget(state, before) {
  for (const stream of state.streams.values()) {
    let old = 0;
    while (old < stream.points.length && stream.points[old].time < before) old += 1;
    if (old) stream.points.splice(0, old);
    if (stream.gone && !stream.points.length) state.streams.delete(stream.name);
  }
  while (state.absences.length && state.absences[0].to !== null && state.absences[0].to < before) {
    state.absences.shift();
  }
}

const QUIET_DBFS = -65;

/** A stream that is waited for, perhaps one that an earlier run had, hides none that is heard. */
const WORST_FIRST = ["bad", "warn", "speech", "quiet", "wait"];

/** Every stream that is there with what is going on: those in trouble first, then by name. */
export function survey(state, now) {
  const rank = ({ said }) => (isTrouble(said) ? WORST_FIRST.indexOf(said.kind) : WORST_FIRST.length);
  return [...state.streams.values()].filter((stream) => !stream.gone).map((stream) => ({ stream, said: explain(state, stream, now) }))
    .sort((a, b) => rank(a) - rank(b) || byName(a.stream.name, b.stream.name));
}

export const isTrouble = (said) => said.kind === "bad" || said.kind === "warn";

/** The worst that is going on, and on how many streams where it is not on all. */
export function summary(state, now) {
  const all = survey(state, now).map(({ said }) => said);
  const worst = WORST_FIRST.map((kind) => all.find((said) => said.kind === kind)).find(Boolean) ?? explain(state, undefined, now);
  const same = all.filter((said) => said.what === worst.what).length;
  return isTrouble(worst) && same < all.length ? { ...worst, what: `${worst.what}: ${same} of ${all.length}` } : worst;
}

/** What is going on, in one line, and why nothing is heard where that is so. */
export function explain(state, stream, now) {
  return explainLink(state, now) ?? explainStream(state, stream, now);
}

/** Where nothing can be known of any stream; null otherwise. */
export function explainLink(state, now) {
  if (state.connected === null) return { kind: "wait", what: "Connecting", why: "" };
  if (!state.connected) {
    return { kind: "bad", what: "This page has lost its server", why: "Is 'edgeser page' still running, and can its machine be reached? Trying again." };
  }
  if (!state.link.heard) {
    const since = state.absences.at(-1);
    const endpoint = state.hello?.endpoint ?? "";
    if (state.link.trouble) return { kind: "bad", what: "The daemon cannot be heard", why: state.link.trouble };
    return since
      ? { kind: "bad", what: "The daemon has gone", why: `Nothing has come from ${endpoint} since ${recentTime(since.from, now)}. What it hears meanwhile is filled in when it is back.`, from: since.from }
      : { kind: "bad", what: "No daemon is running", why: `Nothing comes from ${endpoint}. Start one with: edgeser run` };
  }
  return null;
}

function explainStream(state, stream, now) {
  const status = stream?.status;
  if (!status) return { kind: "wait", ...(state.live ? { what: "Waiting", why: "The first status has not come yet." } : { what: "Connecting", why: "" }) };
  const faults = state.faults.filter((f) => f.stream === stream.name);
  const latest = faults.at(-1);
  const fault = faults.findLast((f) => !f.recovered);
  switch (status.state) {
    case "no_audio": return { kind: "bad", what: "No sound arrives", why: fault ? fault.message : "No sound for two seconds. A file has ended; a microphone is being restarted." };
    case "starting": return { kind: "wait", what: "Starting", why: "The model is being loaded and verified." };
    case "stopping": return { kind: "wait", what: "Stopping", why: "The daemon is stopping, as requested or because its file has ended." };
    case "degraded": return { kind: "warn", what: "Working, with problems", why: status.wrong_pace ? "Sound arrives faster or slower than real time: its rate or format is wrong." : latest?.message ?? "Windows were dropped, or got no scores." };
    default:
  }
  if (stream.speaking || status.state === "speech") return { kind: "speech", what: "Speech", why: "" };
  if (status.frame_age_s !== null && status.frame_age_s > 1.5) {
    return { kind: "warn", what: "No sound just now", why: `The last sound came ${status.frame_age_s.toFixed(0)} s ago.` };
  }
  if (status.muted) return { kind: "quiet", what: "Muted", why: "Sound is ignored until it is unmuted: edgeser mute off" };
  if (stream.level !== null && stream.level <= -99) {
    return { kind: "warn", what: "Pure silence", why: "Sound arrives, but every sample is zero. Is the microphone muted?" };
  }
  const hasSpoken = stream.lastSpeech || status.counters.segments; // perhaps before the page was opened
  if (stream.level !== null && stream.level < QUIET_DBFS && !hasSpoken) {
    return { kind: "quiet", what: "Listening", why: "It is very quiet. Say something; if nothing moves, the microphone may be turned down." };
  }
  return { kind: "quiet", what: "Listening", why: hasSpoken ? "Nobody speaks." : "Nobody has spoken yet.", from: stream.lastSpeech || null };
}
