// Runs where the browser's sound is made. `ear` plays µ-law of 8 kHz that comes from the lab; `mouth`
// gives the lab what a microphone or a file says. Both bring the rate to the browser's and back.
const RATE = 8000;
/** 20 ms. */
const FRAME = 160;
/** Playing begins with so much in hand, and what is late is left out. */
const BEGIN = 480;
const MOST = 3200;

const DECODED = new Float32Array(256);
for (let byte = 0; byte < 256; byte++) {
  const bits = ~byte & 0xff;
  const value = (((bits & 0x0f) << 3) + 0x84) << ((bits >> 4) & 7);
  DECODED[byte] = ((bits & 0x80 ? -1 : 1) * (value - 0x84)) / 32768;
}

/** ITU-T G.711. */
function encode(sample) {
  const value = Math.max(-32635, Math.min(32635, Math.round(sample * 32767)));
  const magnitude = Math.abs(value) + 0x84;
  let exponent = 7;
  for (let mask = 0x4000; exponent > 0 && !(magnitude & mask); mask >>= 1) exponent--;
  const mantissa = (magnitude >> (exponent + 3)) & 0x0f;
  return ~((value < 0 ? 0x80 : 0) | (exponent << 4) | mantissa) & 0xff;
}

class Ear extends AudioWorkletProcessor {
  constructor() {
    super();
    this.queue = [];
    this.at = 0;
    this.playing = false;
    this.port.onmessage = ({ data }) => {
      if (data === null) {
        this.queue.length = 0;
        return;
      }
      for (const byte of new Uint8Array(data)) this.queue.push(DECODED[byte]);
      if (this.queue.length > MOST) this.queue.splice(0, this.queue.length - BEGIN);
    };
  }

  process(_inputs, [output]) {
    const out = output[0];
    const step = RATE / sampleRate;
    if (!this.playing && this.queue.length >= BEGIN) this.playing = true;
    for (let n = 0; n < out.length; n++) {
      if (!this.playing || this.queue.length < 2) {
        this.playing &&= this.queue.length >= 2;
        out[n] = 0;
        continue;
      }
      out[n] = this.queue[0] + (this.queue[1] - this.queue[0]) * this.at;
      this.at += step;
      while (this.at >= 1) {
        this.at -= 1;
        this.queue.shift();
      }
    }
    return true;
  }
}

class Mouth extends AudioWorkletProcessor {
  constructor() {
    super();
    this.at = 0;
    this.last = 0;
    this.frame = new Uint8Array(FRAME);
    this.filled = 0;
  }

  process([input]) {
    const samples = input?.[0];
    if (!samples) return true;
    const step = sampleRate / RATE;
    for (const sample of samples) {
      this.at += 1;
      while (this.at >= step) {
        this.at -= step;
        const share = 1 - this.at;
        this.put(share >= 0 && share <= 1 ? this.last + (sample - this.last) * share : sample);
      }
      this.last = sample;
    }
    return true;
  }

  put(sample) {
    this.frame[this.filled++] = encode(sample);
    if (this.filled < FRAME) return;
    this.port.postMessage(this.frame.slice().buffer);
    this.filled = 0;
  }
}

registerProcessor('ear', Ear);
registerProcessor('mouth', Mouth);
