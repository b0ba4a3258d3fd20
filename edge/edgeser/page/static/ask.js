// Requests to the page's server, and when to repeat one.

import { useEffect, useState } from "./vendor/preact.js";

/** A request whose answer may have changed, or that failed, is repeated after this long. */
export const FRESH_MS = 20_000;
const ANSWER_MS = 60_000;

export async function ask(path, fields = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) {
    for (const one of Array.isArray(value) ? value : [value]) if (one !== "" && one !== null) query.append(name, one);
  }
  let answer;
  try {
    answer = await fetch(`${path}?${query}`, { signal: AbortSignal.timeout(ANSWER_MS) });
  } catch {
    throw new Error("The page's server does not answer. Trying again.");
  }
  const body = await answer.json().catch(() => null); // a proxy may answer in its own words
  if (!answer.ok || body === null) throw new Error(body?.error ?? `The page's server cannot answer (${answer.status}). Trying again.`);
  return body;
}

/** A counter that increases at intervals while a request is to be repeated. */
export function useAgain(wanted) {
  const [times, setTimes] = useState(0);
  useEffect(() => {
    if (!wanted) return undefined;
    const timer = setInterval(() => setTimes((n) => n + 1), FRESH_MS);
    return () => clearInterval(timer);
  }, [wanted]);
  return times;
}
