// Hands every block of the microphone on, as the mean of its channels.

class Recorder extends AudioWorkletProcessor {
  process([channels]) {
    if (channels.length > 0) {
      const block = new Float32Array(channels[0].length);
      for (const channel of channels) {
        for (let i = 0; i < block.length; i++) block[i] += channel[i] / channels.length;
      }
      this.port.postMessage(block);
    }
    return true;
  }
}

registerProcessor("recorder", Recorder);
