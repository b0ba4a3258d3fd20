// The page: a file or the microphone in, the label and its scores out.

import * as ort from "./vendor/ort.wasm.min.mjs";
import { Recogniser } from "./recogniser.js";
import { Recording, fromFile, resampled } from "./sound.js";

const element = (id) => document.getElementById(id);
const [state, speak, from, to] = ["state", "speak", "from", "to"].map(element);
const [file, result, stretch] = ["file", "result", "stretch"].map(element);

ort.env.wasm.wasmPaths = new URL("vendor/", document.baseURI).href;
ort.env.wasm.numThreads = 1; // more need headers that a plain file server does not send

let recogniser;
let sound;
let told;
let recording;

async function load() {
  const answer = await fetch("model.onnx");
  if (!answer.ok) throw new Error(`model.onnx: ${answer.status} ${answer.statusText}`);
  recogniser = await Recogniser.open(ort, new Uint8Array(await answer.arrayBuffer()));
  const { name, version, labels, training } = recogniser.info;
  element("model").textContent =
    `${name} ${version}: ${labels.join(", ")}. Learnt from ${training.corpora.join(", ")} ` +
    `(${training.licence}), from actors; it reads no minds.`;
  speak.disabled = file.disabled = false;
  state.textContent = "ready";
}

/** Judge a new sound, all of it; `taking` promises it. */
async function hear(taking) {
  result.hidden = stretch.hidden = true; // they are of the sound before
  const taken = await taking;
  const rate = recogniser.info.sample_rate;
  sound = await resampled(taken.samples, taken.rate, rate);
  told = taken.told + (taken.rate === rate ? "" : `, resampled to ${rate} Hz by libsamplerate`);
  from.value = "0";
  to.value = String(sound.length / rate);
  stretch.hidden = false;
  await judge();
}

/** Judge the stretch that is chosen. */
async function judge() {
  const rate = recogniser.info.sample_rate;
  const [start, end] = [from, to].map((input) => Math.round(Number(input.value) * rate));
  const scores = await recogniser.scores(sound, start, end);
  element("label").textContent = recogniser.label(scores);
  element("scores").replaceChildren(...Object.entries(scores).flatMap(row));
  result.hidden = false;
  state.textContent = `${told}; ${((end - start) / rate).toFixed(2)} s heard`;
}

function row([label, score]) {
  const [term, bar, number] = ["dt", "dd", "dd"].map((tag) => document.createElement(tag));
  const meter = document.createElement("meter");
  meter.value = score;
  meter.setAttribute("aria-label", label);
  bar.append(meter);
  term.textContent = label;
  number.textContent = `${(100 * score).toFixed(1)} %`;
  number.dataset.score = String(score);
  return [term, bar, number];
}

/** Whatever goes wrong is said on the page, and no result stands beside it. */
function saying(action) {
  return async (event) => {
    event?.preventDefault();
    try {
      await action(event);
    } catch (error) {
      result.hidden = true;
      state.textContent = `That did not work: ${error.message}`;
    }
  };
}

async function take(chosen) {
  if (!chosen) return;
  if (!recogniser) throw new Error("the model is not loaded");
  state.textContent = `reading ${chosen.name} …`;
  await hear(chosen.arrayBuffer().then(fromFile));
}

async function speakOrStop() {
  if (!recording) {
    recording = await Recording.begin();
    speak.textContent = "Stop";
    state.textContent = "listening …";
    return;
  }
  const ending = recording;
  recording = undefined;
  speak.textContent = "Speak";
  await hear(ending.end());
}

file.addEventListener("change", saying((event) => take(event.target.files[0])));
stretch.addEventListener("submit", saying(judge));
speak.addEventListener("click", saying(speakOrStop));
const drop = element("drop");
drop.addEventListener("dragover", (event) => {
  event.preventDefault();
  drop.classList.add("over");
});
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
drop.addEventListener("drop", saying((event) => take(event.dataTransfer.files[0])));
globalThis.edgeser = { heard: () => ({ sound, seconds: recording?.seconds }) };
await saying(load)();
