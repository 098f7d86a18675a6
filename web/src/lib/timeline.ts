/** One time axis for a call. Positions are fractions of its length, 0 to 1. */
export interface Scale {
  start: number;
  end: number;
  at(ms: number): number;
}

export function scale(start: number, end: number): Scale {
  // A call of no length still has an axis: one second.
  const last = Math.max(end, start + 1000);
  return {
    start,
    end: last,
    at: (ms) => Math.min(1, Math.max(0, (ms - start) / (last - start))),
  };
}

const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];

/** Offsets in milliseconds at which the axis is marked: at most `most`, at round seconds. */
export function ticks(lengthMs: number, most: number): number[] {
  const step = (STEPS_S.find((s) => lengthMs / (s * 1000) <= most) ?? 7200) * 1000;
  const found: number[] = [];
  for (let at = 0; at <= lengthMs; at += step) found.push(at);
  return found;
}

/** The loudest sample of each of `buckets` stretches, 0 to 1. */
export function peaks(samples: Float32Array, buckets: number): Float32Array {
  const result = new Float32Array(buckets);
  const width = samples.length / buckets;
  for (let i = 0; i < buckets; i++) {
    const from = Math.floor(i * width);
    const to = Math.max(from + 1, Math.floor((i + 1) * width));
    let loudest = 0;
    for (let j = from; j < to && j < samples.length; j++) {
      const value = Math.abs(samples[j] ?? 0);
      if (value > loudest) loudest = value;
    }
    result[i] = Math.min(1, loudest);
  }
  return result;
}

/** How one turn's wait is made up, from the caller's last word to the first audible reply. */
export interface LatencyPart {
  key: 'endpoint' | 'transcribe' | 'think' | 'tool' | 'synthesize' | 'ours';
  ms: number;
}

interface Measured {
  endpoint_ms?: number | null;
  transcribe_ms?: number | null;
  think_ms?: number | null;
  tool_ms?: number | null;
  synthesize_ms?: number | null;
  ours_ms?: number | null;
}

export function latencyParts(measured: Measured): LatencyPart[] {
  const all: [LatencyPart['key'], number | null | undefined][] = [
    ['endpoint', measured.endpoint_ms],
    ['transcribe', measured.transcribe_ms],
    ['think', measured.think_ms],
    ['tool', measured.tool_ms],
    ['synthesize', measured.synthesize_ms],
    ['ours', measured.ours_ms],
  ];
  return all.flatMap(([key, ms]) => (ms ? [{ key, ms }] : []));
}
