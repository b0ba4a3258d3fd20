// The waveform artefact in ONNX Runtime Web: samples in, scores out. Nothing here knows the page.

const METADATA_KEY = "edgeser-waveform";

/** What an ONNX file says of itself: its metadata, field 14 of the protobuf message ModelProto. */
export function metadataOf(bytes) {
  const text = new TextDecoder();
  const found = {};
  for (const [field, value] of fields(bytes)) {
    if (field !== 14) continue;
    const entry = {};
    for (const [part, content] of fields(value)) entry[part] = text.decode(content);
    found[entry[1]] = entry[2];
  }
  return found;
}

/** The fields of a protobuf message: number, and the bytes of those that have a length. */
function* fields(bytes) {
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++];
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return Number(value);
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const kind = tag & 7;
    if (kind === 0) varint();
    else if (kind === 1) at += 8;
    else if (kind === 5) at += 4;
    else {
      const length = varint();
      yield [tag >> 3, bytes.subarray(at, at + length)];
      at += length;
    }
  }
}

/** The hops of a piece that the network takes, as [first, count]: how the window policy cuts. */
export function spans(hops, { cut, frames, hop_frames: step }) {
  if (cut === "whole" || hops <= frames) return [[0, hops]];
  if (cut === "centre") return [[Math.floor((hops - frames) / 2), frames]];
  const starts = [];
  for (let start = 0; start + frames <= hops; start += step) starts.push(start);
  if (starts.at(-1) + frames < hops) starts.push(hops - frames);
  return starts.map((start) => [start, frames]);
}

export class Recogniser {
  /** `ort`: the module of ONNX Runtime Web; `bytes`: the artefact, a Uint8Array. */
  static async open(ort, bytes) {
    const said = metadataOf(bytes)[METADATA_KEY];
    if (said === undefined) {
      throw new Error("this file takes no waveform: make it with edgeser export --waveform");
    }
    const session = await ort.InferenceSession.create(bytes);
    return new Recogniser(ort, session, JSON.parse(said));
  }

  constructor(ort, session, info) {
    this.ort = ort;
    this.session = session;
    this.info = info;
  }

  /**
   * The scores of the samples [start, end) of a sound.
   *
   * `sound`: a Float32Array at `info.sample_rate`, full scale at 1. What lies in front of `start`
   * is heard as what was before. Throws for a stretch that is too short or not in the sound.
   */
  async scores(sound, start = 0, end = sound.length) {
    const { sample_rate: rate, hop, history, min_frames: least, window, temperature, labels } = this.info;
    if (start < 0) throw new Error("the stretch begins before the sound");
    if (end > sound.length) throw new Error(`the sound ends at ${sound.length / rate} s`);
    if (end < start) throw new Error("the stretch ends before it begins");
    const hops = Math.floor((end - start) / hop);
    if (!(hops >= least)) throw new Error(`too short: it takes at least ${(least * hop) / rate} s`);
    const sum = new Float64Array(labels.length);
    const pieces = spans(hops, window);
    for (const [first, count] of pieces) {
      const logits = await this.logits(sound, start + first * hop, count, hop, history);
      logits.forEach((logit, i) => (sum[i] += logit / pieces.length));
    }
    const highest = Math.max(...sum);
    const powers = [...sum].map((logit) => Math.exp((logit - highest) / temperature));
    const total = powers.reduce((a, b) => a + b);
    return Object.fromEntries(labels.map((label, i) => [label, powers[i] / total]));
  }

  /** The label of scores: the likeliest, or "unknown" below the model's threshold. */
  label(scores) {
    const [label, score] = Object.entries(scores).reduce((a, b) => (b[1] > a[1] ? b : a));
    return score < this.info.abstain_below ? "unknown" : label;
  }

  async logits(sound, first, count, hop, history) {
    const piece = new Float32Array(history + count * hop);
    const from = Math.max(0, first - history);
    piece.set(sound.subarray(from, first + count * hop), from - (first - history));
    if (!piece.every(Number.isFinite)) throw new Error("the sound has samples that are no numbers");
    const { Tensor } = this.ort;
    const { logits } = await this.session.run({
      waveform: new Tensor("float32", piece, [1, piece.length]),
      frames: new Tensor("int64", BigInt64Array.from([BigInt(count)]), [1]),
    });
    return logits.data;
  }
}
