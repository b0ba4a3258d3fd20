// A colour for every label, always beside its name. The hues are those of Okabe and Ito (2008),
// which people of every kind of colour vision tell apart; app.css has them for both themes.

const HUES = ["vermillion", "orange", "sky", "blue", "purple", "green", "yellow"];

const KNOWN = {
  angry: "vermillion", anger: "vermillion",
  happy: "orange", happiness: "orange", joy: "orange", amused: "orange",
  neutral: "sky", calm: "sky",
  sad: "blue", sadness: "blue",
  fear: "purple", fearful: "purple", anxiety: "purple", anxious: "purple",
  disgust: "green", disgusted: "green",
  surprise: "yellow", surprised: "yellow",
  boredom: "brown", bored: "brown",
  unknown: "grey",
};

const given = new Map();

/** Name of a label's hue; an unknown label gets the next one in turn. */
export function hue(label) {
  const known = KNOWN[label];
  if (known) return known;
  if (!given.has(label)) given.set(label, HUES[given.size % HUES.length]);
  return given.get(label);
}

let cached = new Map();

/** A hue or another colour of the present theme, from CSS. */
export function colour(name) {
  if (!cached.has(name)) {
    cached.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
  }
  return cached.get(name);
}

export const labelColour = (label) => colour(hue(label));

export function forgetColours() {
  cached = new Map();
}
