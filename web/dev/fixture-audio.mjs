// A stereo WAV for a fixture call: a hum for each turn, the caller on the left, everybody else on the right.

const RATE = 8000;

export function wavOf(call) {
  const start = Date.parse(call.recording.started_at);
  const frames = Math.round((call.recording.duration_ms / 1000) * RATE);
  const data = Buffer.alloc(44 + frames * 4);
  data.write('RIFF', 0);
  data.writeUInt32LE(36 + frames * 4, 4);
  data.write('WAVEfmt ', 8);
  data.writeUInt32LE(16, 16);
  data.writeUInt16LE(1, 20);
  data.writeUInt16LE(2, 22);
  data.writeUInt32LE(RATE, 24);
  data.writeUInt32LE(RATE * 4, 28);
  data.writeUInt16LE(4, 32);
  data.writeUInt16LE(16, 34);
  data.write('data', 36);
  data.writeUInt32LE(frames * 4, 40);
  for (const turn of call.turns) {
    const from = Math.max(0, Math.round(((Date.parse(turn.started_at) - start) / 1000) * RATE));
    const to = Math.min(frames, Math.round(((Date.parse(turn.ended_at) - start) / 1000) * RATE));
    const right = turn.speaker === 'caller' ? 0 : 2;
    const pitch = turn.speaker === 'caller' ? 190 : turn.speaker === 'agent' ? 120 : 240;
    for (let i = from; i < to; i++) {
      const t = i / RATE;
      // Syllables and words: two slow envelopes over a hum with two overtones.
      const syllable = Math.max(0, Math.sin(2 * Math.PI * 3.7 * t + turn.n) + 0.35);
      const word = 0.55 + 0.45 * Math.sin(2 * Math.PI * 0.83 * t + turn.n * 2.1);
      const hum =
        Math.sin(2 * Math.PI * pitch * t) +
        0.5 * Math.sin(4 * Math.PI * pitch * t) +
        0.2 * Math.sin(14 * Math.PI * pitch * t);
      data.writeInt16LE(Math.round(hum * syllable * word * 7500), 44 + i * 4 + right);
    }
  }
  return data;
}
