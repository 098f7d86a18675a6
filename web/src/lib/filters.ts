import type { CallRow, CallStatus, Direction } from '../api/types';
import { localDay } from './format';

/** What the list of calls is narrowed to. Kept in the address, so that a link shows the same. */
export interface CallFilters {
  status: CallStatus | '';
  direction: Direction | '';
  q: string;
  /** Local days, both included, `2026-11-21` or empty. */
  from: string;
  to: string;
}

export const NO_FILTERS: CallFilters = { status: '', direction: '', q: '', from: '', to: '' };

export const STATUSES: CallStatus[] = ['ringing', 'assistant', 'transferring', 'with_agent', 'ended'];
export const DIRECTIONS: Direction[] = ['inbound', 'outbound'];

const DAY = /^\d{4}-\d{2}-\d{2}$/;
const oneOf = <T extends string>(all: T[], value: string | null): T | '' =>
  all.find((one) => one === value) ?? '';

/** Reads the address. Anything it does not know is no filter: a link from elsewhere never fails. */
export function filtersFromSearch(search: string): CallFilters {
  const params = new URLSearchParams(search);
  const day = (name: string) => {
    const value = params.get(name) ?? '';
    return DAY.test(value) ? value : '';
  };
  return {
    status: oneOf(STATUSES, params.get('status')),
    direction: oneOf(DIRECTIONS, params.get('direction')),
    q: (params.get('q') ?? '').slice(0, 100),
    from: day('from'),
    to: day('to'),
  };
}

export function filtersToSearch(filters: CallFilters): string {
  const params = new URLSearchParams();
  for (const key of ['status', 'direction', 'q', 'from', 'to'] as const) {
    if (filters[key]) params.set(key, filters[key]);
  }
  return params.toString();
}

export const isFiltered = (filters: CallFilters): boolean => filtersToSearch(filters) !== '';

/** The query of `GET /api/calls`: local days become instants, `to` becomes the end of its day. */
export function filtersToQuery(filters: CallFilters, limit: number, cursor?: string): string {
  const params = new URLSearchParams({ limit: String(limit) });
  if (filters.status) params.set('status', filters.status);
  if (filters.direction) params.set('direction', filters.direction);
  if (filters.q.trim()) params.set('q', filters.q.trim());
  const start = dayStart(filters.from, 0);
  const end = dayStart(filters.to, 1);
  if (start) params.set('from', start);
  if (end) params.set('to', end);
  if (cursor) params.set('cursor', cursor);
  return params.toString();
}

function dayStart(day: string, plusDays: number): string | null {
  if (!DAY.test(day)) return null;
  const [year = 1970, month = 1, date = 1] = day.split('-').map(Number);
  const start = new Date(year, month - 1, date + plusDays);
  return Number.isNaN(start.getTime()) ? null : start.toISOString();
}

/** Whether a row that arrived live belongs into a list with these filters. */
export function matches(row: CallRow, filters: CallFilters): boolean {
  if (filters.status && row.status !== filters.status) return false;
  if (filters.direction && row.direction !== filters.direction) return false;
  const day = localDay(row.started_at);
  if (filters.from && day < filters.from) return false;
  if (filters.to && day > filters.to) return false;
  const wanted = filters.q.trim().toLowerCase();
  if (!wanted) return true;
  return [row.id, row.caller, row.caller_name, row.callee, row.assistant, row.agent, row.outcome?.code]
    .filter((text): text is string => !!text)
    .some((text) => text.toLowerCase().includes(wanted));
}

/** Puts a live row into the first page of a newest-first list, replaces it, or takes it out. */
export function upsert(rows: CallRow[], row: CallRow, filters: CallFilters): CallRow[] {
  const others = rows.filter((other) => other.id !== row.id);
  if (!matches(row, filters)) return others.length === rows.length ? rows : others;
  const at = rows.findIndex((other) => other.id === row.id);
  if (at >= 0) return rows.with(at, { ...rows[at], ...row });
  return [row, ...rows].toSorted((a, b) => Date.parse(b.started_at) - Date.parse(a.started_at));
}
