import { describe, expect, it } from 'vitest';
import type { CallDetail, CallEvent, Leg } from '../src/api/types';
import { type LadderRow, layoutLadder, roleOf, splitWireText, tone } from '../src/lib/ladder';

const START = Date.parse('2026-11-21T14:00:00Z');
const at = (ms: number) => new Date(START + ms).toISOString();
let n = 0;
const wire = (ms: number, from: string, to: string, label: string): CallEvent => {
  const status = /^(\d{3})/.exec(label)?.[1];
  return {
    id: `ev_${++n}`,
    at: at(ms),
    kind: 'wire',
    from,
    to,
    label,
    method: status ? null : label,
    status: status ? Number(status) : null,
  };
};
const leg = (
  party: string,
  target: string | null,
  from: number,
  answered: number | null,
  end: number | null,
): Leg => ({
  id: `leg_${party}${target}`,
  kind: 'sip',
  party,
  target,
  state: 'ended',
  started_at: at(from),
  answered_at: answered === null ? null : at(answered),
  ended_at: end === null ? null : at(end),
});
const call = (...legs: Leg[]): Pick<CallDetail, 'legs' | 'started_at'> => ({ started_at: at(0), legs });

/** The ladder as text, one line for each row: easier to read in a failure than objects. */
function draw(ladder: ReturnType<typeof layoutLadder>): string[] {
  const names = ladder.columns.map((column) => column.name || column.role);
  return ladder.rows.map((row) => {
    const lines = row.activity.map((state) => state[0]).join('');
    if (row.type === 'gap') return `${lines} … ${row.durationMs} ms`;
    const { event } = row;
    return row.type === 'note'
      ? `${lines} ${names[row.from]}: ${event.label}`
      : `${lines} ${names[row.from]} > ${names[row.to]}: ${event.label}`;
  });
}

describe('the ladder', () => {
  it('has a column for each party, time downwards, silences as rows', () => {
    const events = [
      wire(0, 'caller', 'switchhook', 'INVITE'),
      wire(600, 'switchhook', 'caller', '200 OK'),
      wire(5000, 'switchhook', '2001', 'INVITE'),
      wire(5100, '2001', 'switchhook', '180 Ringing'),
      wire(25_000, 'switchhook', '2001', 'CANCEL'),
      { ...wire(25_010, 'switchhook', 'switchhook', 'attempt_ended'), kind: 'fact' as const },
    ];
    const ladder = layoutLadder(
      call(leg('caller', null, 0, 600, null), leg('agent', '2001', 5000, null, 25_005)),
      events,
    );
    expect(ladder.columns.map((column) => column.role)).toEqual(['caller', 'switchhook', 'human']);
    expect(draw(ladder)).toEqual([
      'rii caller > switchhook: INVITE',
      'uii switchhook > caller: 200 OK',
      'uii … 4400 ms',
      'uir switchhook > 2001: INVITE',
      'uir 2001 > switchhook: 180 Ringing',
      'uir … 19900 ms',
      'uir switchhook > 2001: CANCEL',
      'uii switchhook: attempt_ended',
    ]);
  });

  it('sorts by time and keeps the order of messages of the same instant', () => {
    const events = [
      wire(10, 'caller', 'switchhook', 'BYE'),
      wire(0, 'caller', 'switchhook', 'INVITE'),
      wire(10, 'switchhook', 'caller', '200 OK'),
    ];
    const labels = layoutLadder(call(), events).rows.map((row) => (row as LadderRow).event.label);
    expect(labels).toEqual(['INVITE', 'BYE', '200 OK']);
  });

  it('gathers providers in the last column and hides call events on request', () => {
    const fact: CallEvent = {
      id: 'f',
      at: at(5),
      kind: 'fact',
      from: 'switchhook',
      to: 'provider:speech',
      label: 'transcribe',
    };
    const events = [wire(0, 'caller', 'switchhook', 'INVITE'), fact];
    expect(layoutLadder(call(), events).columns.at(-1)?.role).toBe('providers');
    expect(layoutLadder(call(), events, { facts: false }).rows).toHaveLength(1);
  });

  it('draws a party known only as agent in the column of the one human', () => {
    const events = [wire(0, 'switchhook', 'agent', 'INVITE')];
    const ladder = layoutLadder(call(leg('agent', '2001', 0, null, null)), events);
    expect(ladder.columns.map((column) => column.key)).toEqual(['caller', 'switchhook', 'human:2001']);
    expect(draw(ladder)).toEqual(['iir switchhook > 2001: INVITE']);
  });

  it('is empty without events', () => {
    expect(layoutLadder(call(), []).rows).toEqual([]);
  });
});

describe('colours', () => {
  it.each([
    ['INVITE', 'setup'],
    ['180 Ringing', 'progress'],
    ['200 OK', 'success'],
    ['407 Proxy Authentication Required', 'progress'],
    ['486 Busy Here', 'failure'],
    ['CANCEL', 'cancel'],
    ['BYE', 'end'],
    ['INFO', 'other'],
  ])('%s is %s', (label, expected) => {
    expect(tone(wire(0, 'caller', 'switchhook', label))).toBe(expected);
  });
});

describe('parties', () => {
  it('are told apart by name', () => {
    expect(roleOf('caller')).toBe('caller');
    expect(roleOf('switchhook')).toBe('switchhook');
    expect(roleOf('provider:llm')).toBe('providers');
    expect(roleOf('sip:2001@192.0.2.1')).toBe('human');
  });
});

describe('a message in full', () => {
  it('is cut into start line, headers with folds, and body', () => {
    const text = 'INVITE sip:a@b SIP/2.0\r\nSubject: one\r\n two\r\nVia: x\r\nVia: y\r\n\r\nv=0\r\ns=-\r\n';
    expect(splitWireText(text)).toEqual({
      start: 'INVITE sip:a@b SIP/2.0',
      headers: [
        { name: 'Subject', value: 'one\n two' },
        { name: 'Via', value: 'x' },
        { name: 'Via', value: 'y' },
      ],
      body: 'v=0\ns=-',
    });
  });

  it('may be broken without breaking the page', () => {
    expect(splitWireText('')).toEqual({ start: '', headers: [], body: '' });
    expect(splitWireText('junk\n folded first\nno colon')).toEqual({
      start: 'junk',
      headers: [
        { name: ' folded first', value: '' },
        { name: 'no colon', value: '' },
      ],
      body: '',
    });
  });
});
