// Questions to the page's server, and when one is asked again.

import { useEffect, useState } from "./vendor/preact.js";

/** An answer that may have changed since, or that failed, is asked for again after so long. */
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
    throw new Error("The page's server does not answer. It is asked again.");
  }
  const body = await answer.json().catch(() => null); // a proxy may answer in its own words
  if (!answer.ok || body === null) throw new Error(body?.error ?? `The page's server cannot answer (${answer.status}). It is asked again.`);
  return body;
}

/** Counts up from time to time while something is to be asked again. */
export function useAgain(wanted) {
  const [times, setTimes] = useState(0);
  useEffect(() => {
    if (!wanted) return undefined;
    const timer = setInterval(() => setTimes((n) => n + 1), FRESH_MS);
    return () => clearInterval(timer);
  }, [wanted]);
  return times;
}
