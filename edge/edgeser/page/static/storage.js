// What a browser remembers between visits. One that keeps nothing of sites throws at every touch;
// the page is then as on a first visit.

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
    // until the page is left it stays what was chosen
  }
}
