import { describe, expect, it } from 'vitest';
import {
  between,
  clockDuration,
  dayHeading,
  delta,
  latency,
  localDay,
  spokenDuration,
  timeOfDay,
} from '../src/lib/format';

describe('durations', () => {
  it.each([
    [0, '0:00', '0 s'],
    [999, '0:00', '1 s'],
    [18_000, '0:18', '18 s'],
    [120_000, '2:00', '2 min'],
    [123_400, '2:03', '2 min 3 s'],
    [3_723_000, '1:02:03', '1 h 2 min'],
    [3_600_000, '1:00:00', '1 h'],
    [-5, '0:00', '0 s'],
  ])('%i ms', (ms, clock, spoken) => {
    expect(clockDuration(ms)).toBe(clock);
    expect(spokenDuration(ms)).toBe(spoken);
  });

  it('run to now while there is no end, and never backwards', () => {
    const start = '2026-11-21T14:00:00.000Z';
    expect(between(start, null, Date.parse(start) + 1500)).toBe(1500);
    expect(between(start, '2026-11-21T14:00:02Z', 0)).toBe(2000);
    expect(between(start, null, Date.parse(start) - 9000)).toBe(0);
  });
});

describe('latencies', () => {
  it("are milliseconds below a second, seconds in the reader's decimals above", () => {
    expect(latency(27.4, 'en')).toBe('27 ms');
    expect(latency(1274, 'en')).toBe('1.27 s');
    expect(latency(1274, 'de')).toBe('1,27 s');
    expect(latency(null, 'de')).toBe('–');
    expect(delta(42, 'en')).toBe('+0.042');
    expect(delta(1_234_567, 'de')).toBe('+1234,567');
  });
});

describe('times', () => {
  it('are local, with milliseconds where asked', () => {
    const at = new Date(2026, 10, 21, 14, 3, 22, 7).toISOString();
    expect(timeOfDay(at, 'de')).toBe('14:03:22');
    expect(timeOfDay(at, 'en', true)).toBe('14:03:22.007');
    expect(localDay(at)).toBe('2026-11-21');
  });

  it('head days in words while they are near', () => {
    const now = new Date(2026, 0, 1, 0, 5).getTime();
    expect(dayHeading('2026-01-01', now, 'en')).toBe('Today');
    expect(dayHeading('2025-12-31', now, 'de')).toBe('Gestern');
    expect(dayHeading('2025-12-24', now, 'en')).toContain('2025');
  });
});
