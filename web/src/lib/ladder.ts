import type { CallDetail, CallEvent, Leg } from '../api/types';
import { shortTarget } from './party';

/**
 * A ladder as telephony people draw it: one column for each party, time downwards, one row for each
 * message. Nothing here knows the page; `pages/call/ladder.tsx` draws it.
 */

export type Role = 'caller' | 'switchhook' | 'human' | 'providers';
export type Activity = 'idle' | 'ringing' | 'up';

export interface Column {
  key: string;
  role: Role;
  /** The target for a human's column; empty where the role says it all. */
  name: string;
}

export interface LadderRow {
  type: 'message' | 'note';
  event: CallEvent;
  /** Column indices; equal for a note. */
  from: number;
  to: number;
  tone: Tone;
  /** Milliseconds since the call began, and since the row before. */
  offsetMs: number;
  deltaMs: number;
  /** What each party's line is doing just after this row. */
  activity: Activity[];
}

export interface GapRow {
  type: 'gap';
  id: string;
  durationMs: number;
  activity: Activity[];
}

export interface Ladder {
  columns: Column[];
  rows: (LadderRow | GapRow)[];
}

export type Tone = 'setup' | 'progress' | 'success' | 'failure' | 'end' | 'cancel' | 'other' | 'fact';

/** A silence of this length becomes a row of its own, so that waiting is seen. */
export const GAP_MS = 1500;

const PROVIDERS = new Set([
  'assistant',
  'provider',
  'providers',
  'speech',
  'stt',
  'llm',
  'tts',
  'model',
  'notice',
  'notices',
  'webhook',
]);

export function roleOf(party: string): Role {
  const name = party.toLowerCase();
  if (name === 'caller') return 'caller';
  if (name === 'switchhook' || name === 'gateway' || name === '') return 'switchhook';
  if (PROVIDERS.has(name) || name.startsWith('provider:')) return 'providers';
  return 'human';
}

function humanName(party: string): string {
  return shortTarget(party.replace(/^(agent|human):/i, ''));
}

function columnKey(party: string): string {
  const role = roleOf(party);
  return role === 'human' ? `human:${humanName(party)}` : role;
}

export function tone(event: Pick<CallEvent, 'kind' | 'method' | 'status'>): Tone {
  if (event.kind === 'fact') return 'fact';
  if (event.status) {
    if (event.status < 200) return 'progress';
    if (event.status < 300) return 'success';
    // A challenge is a step of every authenticated request, not a failure.
    if (event.status === 401 || event.status === 407) return 'progress';
    return 'failure';
  }
  switch (event.method) {
    case 'INVITE':
    case 'ACK':
    case 'PRACK':
      return 'setup';
    case 'BYE':
      return 'end';
    case 'CANCEL':
      return 'cancel';
    default:
      return 'other';
  }
}

function columnsOf(call: Pick<CallDetail, 'legs'>, events: CallEvent[]): Column[] {
  const humans = new Map<string, Column>();
  const seen = new Set<string>(['caller', 'switchhook']);
  const see = (party: string) => {
    const key = columnKey(party);
    seen.add(key);
    if (roleOf(party) === 'human' && !humans.has(key)) {
      humans.set(key, { key, role: 'human', name: humanName(party) });
    }
  };
  for (const event of events) {
    see(event.from);
    see(event.to);
  }
  for (const leg of call.legs) if (isHumanLeg(leg) && leg.target) see(leg.target);
  // A party known only as "agent" is the one human there is, if there is just one.
  const generic = humans.get('human:agent');
  if (generic && humans.size === 2) {
    humans.delete('human:agent');
    seen.delete('human:agent');
  }
  const fixed = (key: Role): Column => ({ key, role: key, name: '' });
  return [
    fixed('caller'),
    fixed('switchhook'),
    ...humans.values(),
    ...(seen.has('providers') ? [fixed('providers')] : []),
  ];
}

function isHumanLeg(leg: Leg): boolean {
  return leg.party === 'agent' || leg.party === 'human';
}

function activityAt(columns: Column[], legs: Leg[], at: number): Activity[] {
  return columns.map((column) => {
    let best: Activity = 'idle';
    for (const leg of legs) {
      const key = isHumanLeg(leg)
        ? leg.target
          ? columnKey(leg.target)
          : 'human:agent'
        : columnKey(leg.party);
      if (key !== column.key) continue;
      const start = Date.parse(leg.started_at);
      const end = leg.ended_at ? Date.parse(leg.ended_at) : Number.POSITIVE_INFINITY;
      if (at < start || at >= end) continue;
      const answered = leg.answered_at ? Date.parse(leg.answered_at) : Number.POSITIVE_INFINITY;
      if (at >= answered) best = 'up';
      else if (best === 'idle') best = 'ringing';
    }
    return best;
  });
}

export function layoutLadder(
  call: Pick<CallDetail, 'legs' | 'started_at'>,
  unsorted: CallEvent[],
  show: { facts: boolean } = { facts: true },
): Ladder {
  const events = unsorted
    .filter((event) => show.facts || event.kind === 'wire')
    // Stable: two messages of the same millisecond stay in the order the gateway wrote them.
    .toSorted((a, b) => Date.parse(a.at) - Date.parse(b.at));
  const columns = columnsOf(call, events);
  const index = new Map(columns.map((column, i) => [column.key, i]));
  const fallback = columns.findIndex((column) => column.role === 'human');
  const indexOf = (party: string): number =>
    index.get(columnKey(party)) ?? (roleOf(party) === 'human' && fallback >= 0 ? fallback : 1);

  const began = Date.parse(call.started_at);
  const rows: (LadderRow | GapRow)[] = [];
  let before: number | null = null;
  for (const event of events) {
    const at = Date.parse(event.at);
    const deltaMs: number = before === null ? 0 : at - before;
    if (before !== null && deltaMs >= GAP_MS) {
      const activity = activityAt(columns, call.legs, before + 1);
      rows.push({ type: 'gap', id: `gap-${event.id}`, durationMs: deltaMs, activity });
    }
    const from = indexOf(event.from);
    const to = indexOf(event.to);
    rows.push({
      type: from === to ? 'note' : 'message',
      event,
      from,
      to,
      tone: tone(event),
      offsetMs: at - began,
      deltaMs,
      activity: activityAt(columns, call.legs, at),
    });
    before = at;
  }
  return { columns, rows };
}

/** A SIP message cut for reading: start line, headers, body. */
export interface WireText {
  start: string;
  headers: { name: string; value: string }[];
  body: string;
}

export function splitWireText(text: string): WireText {
  const unified = text.replaceAll('\r\n', '\n');
  const end = unified.indexOf('\n\n');
  const head = end < 0 ? unified : unified.slice(0, end);
  const [start = '', ...lines] = head.split('\n');
  const headers: WireText['headers'] = [];
  for (const line of lines) {
    const last = headers.at(-1);
    // A folded line belongs to the header above it (RFC 3261 §7.3.1).
    if (/^[ \t]/.test(line) && last) {
      last.value += `\n${line}`;
      continue;
    }
    const colon = line.indexOf(':');
    if (colon < 0) headers.push({ name: line, value: '' });
    else headers.push({ name: line.slice(0, colon), value: line.slice(colon + 1).trim() });
  }
  return { start, headers, body: end < 0 ? '' : unified.slice(end + 2).trimEnd() };
}
