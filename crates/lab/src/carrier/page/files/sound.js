// The sound of one line at a time: what it hears is played, what the microphone or a file says goes to it.

/** Telephones carry no more than this. */
const BAND_HZ = 3400;

export class Sound {
  #context;
  #ear;
  #mouth;
  #socket;
  #microphone;
  #file;
  /** `CA…` of the line, or null. */
  sid = null;

  /** Must first be called by a press of a button: browsers play nothing before. */
  async #ready() {
    if (!this.#context) {
      const context = new AudioContext();
      await context.audioWorklet.addModule('/worklet.js');
      this.#ear = new AudioWorkletNode(context, 'ear', { numberOfInputs: 0, outputChannelCount: [1] });
      this.#ear.connect(band(context)).connect(context.destination);
      const mouth = new AudioWorkletNode(context, 'mouth', { channelCount: 1, channelCountMode: 'explicit' });
      mouth.port.onmessage = ({ data }) => {
        // Without a microphone or file it gives silence, which nobody needs.
        if (this.isTalking && this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(data);
      };
      this.#mouth = band(context);
      // It says nothing to us, but only what is connected is run.
      this.#mouth.connect(mouth).connect(context.destination);
      this.#context = context;
    }
    await this.#context.resume();
    return this.#context;
  }

  async attach(sid) {
    if (this.sid === sid && this.#socket?.readyState <= WebSocket.OPEN) return;
    this.detach();
    this.sid = sid;
    await this.#ready();
    if (this.sid !== sid) return;
    const socket = new WebSocket(`ws://${location.host}/lab/calls/${encodeURIComponent(sid)}/audio`);
    socket.binaryType = 'arraybuffer';
    socket.onmessage = ({ data }) => this.#ear.port.postMessage(data, [data]);
    socket.onclose = () => {
      if (this.#socket === socket) this.#socket = undefined;
    };
    this.#socket = socket;
  }

  detach() {
    this.sid = null;
    this.#socket?.close();
    this.#socket = undefined;
    this.#ear?.port.postMessage(null);
  }

  get hasMicrophone() {
    return this.#microphone !== undefined;
  }

  get isTalking() {
    return this.hasMicrophone || this.#file !== undefined;
  }

  /** Throws what the browser says if there is none or it may not be used. */
  async microphone(on) {
    if (!on) {
      for (const track of this.#microphone?.stream.getTracks() ?? []) track.stop();
      this.#microphone?.source.disconnect();
      this.#microphone = undefined;
      return;
    }
    const context = await this.#ready();
    const audio = { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true };
    const stream = await navigator.mediaDevices.getUserMedia({ audio });
    const source = context.createMediaStreamSource(stream);
    source.connect(this.#mouth);
    this.#microphone = { stream, source };
  }

  /** Plays a file into the line, with a moment of silence behind it; throws if it is no sound. */
  async play(file, ended) {
    const context = await this.#ready();
    const buffer = await context.decodeAudioData(await file.arrayBuffer());
    const source = context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.#mouth);
    source.onended = () => {
      this.#file = undefined;
      ended();
    };
    this.#file = source;
    source.start();
  }
}

function band(context) {
  return new BiquadFilterNode(context, { type: 'lowpass', frequency: BAND_HZ });
}
