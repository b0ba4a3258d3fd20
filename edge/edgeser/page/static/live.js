// The connection to the page's server. EventSource comes back by itself where it is told of an end;
// one that nobody tells it of is ended here, and begun anew from the last message.

import { apply } from "./state.js";

/** The server sends something every 10 s; twice that, and some more, is too long. */
const SILENT_MS = 25_000;
const RECOVER_MS = 2000;

/** A browser has six connections to a server, for all tabs together: one that nobody looks at lets
 * go of its own. */
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
  // A device that lost its power or its network says no farewell, and a server that hangs none.
  const heard = () => {
    clearTimeout(silence);
    silence = setTimeout(() => {
      lost();
      open();
    }, SILENT_MS);
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
  const end = () => {
    clearTimeout(timer);
    clearTimeout(silence);
    source?.close();
  };
  const letGo = () => { // what was heard last is not so for ever
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
