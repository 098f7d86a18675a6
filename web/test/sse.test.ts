import { describe, expect, it } from 'vitest';
import { backoff, EventParser } from '../src/lib/sse';

describe('the event stream', () => {
  const text =
    ': hello\n\nevent: call\ndata: {"id":1}\n\nid: 7\r\ndata: a\r\ndata: b\r\n\r\nevent: nothing\n\n';
  const expected = [
    { event: 'call', data: '{"id":1}', id: undefined },
    { event: 'message', data: 'a\nb', id: '7' },
  ];

  it('is cut into events wherever the network cuts the text', () => {
    for (let size = 1; size <= text.length; size++) {
      const parser = new EventParser();
      const events = [];
      for (let i = 0; i < text.length; i += size) events.push(...parser.push(text.slice(i, i + size)));
      expect(events, `chunks of ${size}`).toEqual(expected);
    }
  });

  it('keeps an unfinished event until the rest comes', () => {
    const parser = new EventParser();
    expect(parser.push('data: half')).toEqual([]);
    expect(parser.push('\n\n')).toEqual([{ event: 'message', data: 'half', id: undefined }]);
  });
});

it('waits longer after each failure, up to a bound, never all pages at once', () => {
  expect(backoff(1, 1)).toBe(500);
  expect(backoff(3, 1)).toBe(2000);
  expect(backoff(40, 1)).toBe(15_000);
  expect(backoff(40, 0)).toBe(7500);
});
