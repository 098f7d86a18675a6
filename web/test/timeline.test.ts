import { describe, expect, it } from 'vitest';
import { latencyParts, peaks, scale, ticks } from '../src/lib/timeline';

describe('the time axis', () => {
  it('maps instants to fractions and keeps them inside', () => {
    const axis = scale(1000, 5000);
    expect(axis.at(2000)).toBe(0.25);
    expect(axis.at(0)).toBe(0);
    expect(axis.at(9000)).toBe(1);
  });

  it('has a length even for a call without one', () => {
    expect(scale(1000, 1000).end).toBe(2000);
  });

  it('is marked at round seconds, never too often', () => {
    expect(ticks(32_000, 10)).toEqual([0, 5000, 10_000, 15_000, 20_000, 25_000, 30_000]);
    expect(ticks(7_200_000, 10).length).toBeLessThanOrEqual(11);
    expect(ticks(0, 10)).toEqual([0]);
  });
});

it('loudness keeps the loudest sample of each stretch', () => {
  expect([...peaks(new Float32Array([0.1, -0.5, 0.25, 0, 1.5, 0]), 3)]).toEqual([0.5, 0.25, 1]);
  expect(peaks(new Float32Array(0), 4)).toHaveLength(4);
});

it('latency parts leave out what took no time', () => {
  const parts = latencyParts({
    endpoint_ms: 640,
    transcribe_ms: 330,
    think_ms: 0,
    synthesize_ms: null,
    ours_ms: 24,
  });
  expect(parts.map((part) => part.key)).toEqual(['endpoint', 'transcribe', 'ours']);
});
