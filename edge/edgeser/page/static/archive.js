// The past from the server, a day at a time. The days used last are kept.

import { FRESH_MS, ask } from "./ask.js";

const DAYS_KEPT = 6;

/** Hours and days in local time: not every zone is whole hours from UTC, and when clocks are put
 * back an hour comes twice. */
export function hourStart(unix) {
  const date = new Date(unix * 1000);
  return Math.floor(unix) - 60 * date.getMinutes() - date.getSeconds();
}
export const dayStart = (unix) => new Date(unix * 1000).setHours(0, 0, 0, 0) / 1000;

/** Not always 24 h later: clocks are put forward and back. */
export function dayAfter(start, days = 1) {
  const date = new Date(start * 1000);
  return new Date(date.getFullYear(), date.getMonth(), date.getDate() + days).getTime() / 1000;
}

export const isOneDay = (from, to) => to <= dayAfter(dayStart(from));

export class Archive {
  /** `clock`: returns the time by the daemon's clock, in Unix seconds. */
  constructor(changed, clock) {
    this.changed = changed;
    this.clock = clock;
    this.days = new Map();
    this.labels = [];
    this.streams = [];
  }

  /** The loaded days that overlap a span; the others are requested, as are, from time to time, today
   * and days whose request failed. */
  between(from, to) {
    const found = [];
    for (const day of overlapping(from, to)) {
      const held = this.days.get(day);
      const isOld = held && (held.isToday || held.trouble) && Date.now() - held.at > FRESH_MS;
      if (!held || (isOld && !held.asking)) this.#load(day, held);
      if (held?.data) found.push(held.data);
    }
    return found;
  }

  /** Why days of a span are missing or out of date; "" if none is. */
  troubleIn(from, to) {
    for (const day of overlapping(from, to)) {
      const held = this.days.get(day);
      if (held?.trouble) return held.trouble;
    }
    return "";
  }

  async #load(day, held) {
    const entry = held ?? { data: null, trouble: "" };
    Object.assign(entry, { at: Date.now(), asking: true, isToday: dayAfter(day) > this.clock() });
    this.days.delete(day);
    this.days.set(day, entry);
    while (this.days.size > DAYS_KEPT) this.days.delete(this.days.keys().next().value);
    try {
      const raw = await ask("/api/timeline", { since: day, before: dayAfter(day), topic: ["emotion.", "fault."] });
      entry.data = this.#packed(raw);
      entry.trouble = "";
    } catch (error) {
      entry.trouble = error.message;
    }
    entry.asking = false;
    this.changed();
  }

  /** Typed arrays: 50,000 finals take a megabyte, and drawing reads them in order. */
  #packed(raw) {
    const place = (known, name) => {
      if (!known.includes(name)) known.push(name);
      return known.indexOf(name);
    };
    const labels = raw.labels.map((name) => place(this.labels, name));
    const streams = raw.streams.map((name) => place(this.streams, name));
    const n = raw.end_ms.length;
    const data = {
      n, at: Date.now(), faults: raw.faults,
      end: Float64Array.from(raw.end_ms, (ms) => raw.since + ms / 1000),
      length: Float32Array.from(raw.length_ms, (ms) => ms / 1000),
      label: Uint8Array.from(raw.label, (i) => labels[i]),
      stream: Uint16Array.from(raw.stream, (i) => streams[i]),
      confidence: Uint8Array.from(raw.confidence),
    };
    for (const fault of raw.faults) place(this.streams, fault.stream);
    return data;
  }
}

function overlapping(from, to) {
  const days = [];
  for (let day = dayStart(from); day < to && days.length < DAYS_KEPT; day = dayAfter(day)) days.push(day);
  return days;
}

/** A test whether a final is shown. It compares numbers only: it runs 50,000 times for each frame. */
export function sieve(archive, filter) {
  const labels = Uint8Array.from(archive.labels, (l) => filter.labels.length === 0 || filter.labels.includes(l));
  const everyStream = filter.stream === "";
  const stream = archive.streams.indexOf(filter.stream);
  const { confidence } = filter;
  return (data, i) => labels[data.label[i]] === 1 && (everyStream || data.stream[i] === stream) && data.confidence[i] >= confidence;
}

/** The first final that ends at or after a time. */
export function firstAfter(data, time) {
  let low = 0;
  let high = data.n;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (data.end[middle] < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Sums over a span, of the finals that pass the filter. */
export function summarise(archive, days, from, to, filter) {
  const sums = { finals: 0, speech: 0, byLabel: new Map(), confidence: 0, hours: new Map(), faults: 0, first: null, last: null, longest: 0 };
  const passes = sieve(archive, filter);
  for (const data of days) {
    for (let i = firstAfter(data, from); i < data.n && data.end[i] < to; i += 1) {
      if (!passes(data, i)) continue;
      const label = archive.labels[data.label[i]];
      const hour = hourStart(data.end[i]);
      sums.finals += 1;
      sums.speech += data.length[i];
      sums.confidence += data.confidence[i];
      sums.byLabel.set(label, (sums.byLabel.get(label) ?? 0) + data.length[i]);
      sums.hours.set(hour, (sums.hours.get(hour) ?? 0) + data.length[i]);
      sums.first ??= data.end[i] - data.length[i];
      sums.last = data.end[i];
      sums.longest = Math.max(sums.longest, data.length[i]);
    }
    sums.faults += data.faults.filter((f) => f.time >= from && f.time < to && !f.recovered && (filter.stream === "" || f.stream === filter.stream)).length;
  }
  return sums;
}
