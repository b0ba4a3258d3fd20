// The connection to the page's server. EventSource reconnects by itself when it notices an end; a
// connection that dies silently is closed here, and reopened from the last message.

import { apply } from "./state.js";

/** The server sends something every 10 s; twice that, and some more, is too long. */
const SILENT_MS = 25_000;
const RECOVER_MS = 2000;

/** A browser has six connections to a server, for all tabs together: a hidden tab closes its own. */
const UNSEEN_MS = 20_000;

/** Feed a state; `changed` is called after each message. */
export function connect(state, changed) {
  let source = null;
  let timer = 0;
  let silence = 0;
  let unseen = 0;
  let position = "";
  const open = () => {
    end();
    source = new EventSource(position ? `/api/live?since=${encodeURIComponent(position)}` : "/api/live");
    heard();
    source.onopen = () => {
      heard();
      state.connected = true;
      changed();
    };
    source.onmessage = (event) => {
      heard();
      position = event.lastEventId || position;
      apply(state, JSON.parse(event.data));
      changed();
    };
    source.onerror = () => {
      lost();
      if (source.readyState !== EventSource.CLOSED) return; // it tries again
      clearTimeout(silence);
      clearTimeout(timer);
      timer = setTimeout(recover, RECOVER_MS);
    };
    look();
  };
  const lost = () => {
    state.connected = false;
    changed();
  };
  // A device without power or network closes no connection, nor does a server that hangs.
  const heard = () => {
    clearTimeout(silence);
    silence = setTimeout(() => {
      lost();
      open();
    }, SILENT_MS);
  };
  // An answer that is not a stream ends an EventSource for good: the server may be full, or the token
  // no longer valid.
  const recover = async () => {
    try {
      const answer = await fetch("/api/journal");
      if (answer.status === 401) location.assign("/login");
    } catch {
      // the server is not there
    }
    open();
  };
  const end = () => {
    clearTimeout(timer);
    clearTimeout(silence);
    source?.close();
  };
  const letGo = () => { // the last state must not pass for the present one
    end();
    state.connected = null;
    changed();
  };
  const look = () => {
    clearTimeout(unseen);
    if (document.hidden) unseen = setTimeout(letGo, UNSEEN_MS);
    else if (source.readyState === EventSource.CLOSED) open();
  };
  open();
  document.addEventListener("visibilitychange", look);
}
