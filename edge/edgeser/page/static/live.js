// The connection to the page's server. EventSource comes back by itself and says where it was.

import { apply } from "./state.js";

/** Feed a state; `changed` is called after each message. Returns what ends it. */
export function connect(state, changed) {
  let source = null;
  let timer = 0;
  const open = () => {
    source = new EventSource("/api/live");
    source.onopen = () => {
      state.connected = state.everConnected = true;
      changed();
    };
    source.onmessage = (event) => {
      apply(state, JSON.parse(event.data));
      changed();
    };
    source.onerror = () => {
      state.connected = false;
      changed();
      if (source.readyState !== EventSource.CLOSED) return; // it tries again
      clearTimeout(timer);
      timer = setTimeout(recover, 2000);
    };
  };
  // An answer that is no stream ends an EventSource for good: the server may be too full, or the
  // token is no longer known.
  const recover = async () => {
    try {
      const answer = await fetch("/api/journal");
      if (answer.status === 401) location.assign("/login");
    } catch {
      // it is not there
    }
    open();
  };
  open();
  return () => {
    clearTimeout(timer);
    source.close();
  };
}
