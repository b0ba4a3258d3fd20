// What a browser remembers between visits. If site data is blocked, localStorage throws at every
// access; the page is then as on a first visit.

export function remembered(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // the choice then lasts until the page is left
  }
}
