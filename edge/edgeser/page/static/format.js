// Numbers and times as people read them. The calendar is the one by which the page goes, its months
// and its field for a date: that of Iran and others has other months.

const timeFormat = (fields) => new Intl.DateTimeFormat(undefined, { calendar: "gregory", ...fields });
const clock = timeFormat({ hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const short = timeFormat({ hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const day = timeFormat({ weekday: "long", day: "numeric", month: "long", year: "numeric" });
const days = timeFormat({ day: "numeric", month: "long", year: "numeric" });
const dayTime = timeFormat({ day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const dayClock = timeFormat({ day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const month = timeFormat({ month: "long", year: "numeric" });
const dayMonth = timeFormat({ day: "numeric", month: "short" });
const whole = new Intl.NumberFormat();
const names = new Intl.Collator(undefined, { numeric: true });

export const clockTime = (unix) => clock.format(unix * 1000);
export const hourMinute = (unix) => short.format(unix * 1000);
export const dayName = (unix) => day.format(unix * 1000);
/** The days that a span touches; one that ends at midnight does not reach into the day behind it. */
export const dayRange = (from, to) => days.formatRange(from * 1000, to * 1000 - 1);
export const dayAndTime = (unix) => dayTime.format(unix * 1000);
export const dayAndClock = (unix) => dayClock.format(unix * 1000);
export const recentTime = (unix, now) => (now - unix < 43_200 ? clockTime(unix) : dayAndTime(unix));
export const dayOfMonth = (unix) => dayMonth.format(unix * 1000);
export const monthName = (unix) => month.format(unix * 1000);
export const byName = (a, b) => names.compare(a, b);
export const count = (n) => whole.format(n);
export const percent = (share) => `${Math.round(share * 100)} %`;
export const plural = (n, noun) => `${whole.format(n)} ${noun}${n === 1 ? "" : "s"}`;
export const words = (text) => text.replaceAll("_", " ");
export const title = (text) => (text ? text[0].toUpperCase() + text.slice(1) : "");

/** 42 s, 3 min 20 s, 2 h 5 min, 3 d 4 h; no line ends between a number and its unit. */
export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s}\u00a0s`;
  if (s < 3600) return `${Math.floor(s / 60)}\u00a0min${s % 60 && s < 600 ? ` ${s % 60}\u00a0s` : ""}`;
  const minutes = Math.round(s / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)}\u00a0h${minutes % 60 ? ` ${minutes % 60}\u00a0min` : ""}`;
  const hours = Math.round(s / 3600);
  return `${Math.floor(hours / 24)}\u00a0d${hours % 24 ? ` ${hours % 24}\u00a0h` : ""}`;
}

export const decibels = (dbfs) => `${Math.round(dbfs)} dBFS`.replace("-", "−");
export const milliseconds = (ms) => (ms < 9.95 ? ms.toFixed(1) : Math.round(ms).toString());

export function bytes(n) {
  return n < 1e6 ? `${Math.ceil(n / 1e3)} kB` : `${(n / 1e6).toFixed(1)} MB`;
}

/** Moves a bar so far out of its track that a share of it is seen; its end stays round. */
export const filled = (share) => `translateX(${(100 * (Math.max(0, Math.min(1, share)) - 1)).toFixed(1)}%)`;
