// Sound from a file or the microphone, as one channel at the rate that the model wants.

/** The rate that a WAV or FLAC file states; null for other formats. */
export function statedRate(bytes) {
  const view = new DataView(bytes);
  const name = (at) => String.fromCharCode(...new Uint8Array(bytes, at, 4));
  if (bytes.byteLength > 44 && name(0) === "RIFF" && name(8) === "WAVE") {
    for (let at = 12; at + 8 <= bytes.byteLength; at += 8 + view.getUint32(at + 4, true)) {
      if (name(at) === "fmt ") return view.getUint32(at + 12, true);
    }
  }
  if (bytes.byteLength > 42 && name(0) === "fLaC") return view.getUint32(18) >>> 12;
  return null;
}

/**
 * The sound of a file: {samples, rate, told}. Decoded at the rate that it states, so that the
 * browser does not resample; `told` says where that rate is not known.
 */
export async function fromFile(bytes) {
  const stated = statedRate(bytes);
  const rate = stated ?? 48_000;
  const decoded = await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes);
  const told = stated ? `file of ${rate} Hz` : `decoded at ${rate} Hz by the browser`;
  return { samples: mono(decoded), rate, told };
}

/** The mean of all channels of an AudioBuffer. */
function mono(buffer) {
  const samples = new Float32Array(buffer.length);
  for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
    const data = buffer.getChannelData(channel);
    for (let i = 0; i < data.length; i++) samples[i] += data[i] / buffer.numberOfChannels;
  }
  return samples;
}

/** The same sound at another rate, by libsamplerate's best converter. */
export async function resampled(samples, from, to) {
  if (from === to) return samples;
  const { create, ConverterType } = globalThis.LibSampleRate;
  const converter = await create(1, from, to, { converterType: ConverterType.SRC_SINC_BEST_QUALITY });
  try {
    return Float32Array.from(converter.simple(samples));
  } finally {
    converter.destroy();
  }
}

/** Records the microphone at its own rate, without the browser's improvements. */
export class Recording {
  static async begin() {
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    });
    const context = new AudioContext();
    await context.audioWorklet.addModule("worklet.js");
    const node = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
    const recording = new Recording(stream, context);
    node.port.onmessage = ({ data }) => recording.blocks.push(data);
    context.createMediaStreamSource(stream).connect(node);
    return recording;
  }

  constructor(stream, context) {
    this.stream = stream;
    this.context = context;
    this.blocks = [];
  }

  get seconds() {
    return this.blocks.reduce((sum, block) => sum + block.length, 0) / this.context.sampleRate;
  }

  async end() {
    this.stream.getTracks().forEach((track) => track.stop());
    const rate = this.context.sampleRate;
    await this.context.close();
    const samples = new Float32Array(this.blocks.reduce((sum, block) => sum + block.length, 0));
    let at = 0;
    for (const block of this.blocks) {
      samples.set(block, at);
      at += block.length;
    }
    return { samples, rate, told: `microphone at ${rate} Hz` };
  }
}
