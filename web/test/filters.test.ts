import { describe, expect, it } from 'vitest';
import type { CallRow } from '../src/api/types';
import {
  filtersFromSearch,
  filtersToQuery,
  filtersToSearch,
  matches,
  NO_FILTERS,
  upsert,
} from '../src/lib/filters';

const row = (id: string, more: Partial<CallRow> = {}): CallRow => ({
  id,
  direction: 'inbound',
  status: 'assistant',
  caller: '+4930123456',
  started_at: '2026-11-21T14:00:00Z',
  ...more,
});

describe('filters in the address', () => {
  it('survive the way there and back', () => {
    const filters = {
      status: 'ended',
      direction: 'outbound',
      q: 'a&b=c ü',
      from: '2026-11-01',
      to: '2026-11-21',
    } as const;
    expect(filtersFromSearch(filtersToSearch(filters))).toEqual(filters);
    expect(filtersToSearch(NO_FILTERS)).toBe('');
  });

  it('are ignored when nobody knows them', () => {
    expect(filtersFromSearch('?status=flying&direction=up&from=yesterday&x=1')).toEqual(NO_FILTERS);
  });

  it('ask for whole local days', () => {
    const query = new URLSearchParams(
      filtersToQuery({ ...NO_FILTERS, from: '2026-11-20', to: '2026-11-21' }, 50, 'c1'),
    );
    expect(query.get('from')).toBe(new Date(2026, 10, 20).toISOString());
    expect(query.get('to')).toBe(new Date(2026, 10, 22).toISOString());
    expect(query.get('cursor')).toBe('c1');
    expect(query.has('status')).toBe(false);
  });
});

describe('live rows', () => {
  it('come in newest first, are replaced in place, and leave when they no longer match', () => {
    const older = row('a');
    const newer = row('b', { started_at: '2026-11-21T15:00:00Z' });
    const both = upsert([older], newer, NO_FILTERS);
    expect(both.map((one) => one.id)).toEqual(['b', 'a']);
    const ended = { ...older, status: 'ended' as const };
    expect(upsert(both, ended, NO_FILTERS)[1]?.status).toBe('ended');
    expect(upsert(both, ended, { ...NO_FILTERS, status: 'assistant' }).map((one) => one.id)).toEqual(['b']);
  });

  it('are found by number, name, agent or id', () => {
    const one = row('call_1', { caller_name: 'Anna Berger', agent: '2001' });
    for (const q of ['+4930', 'berger', '2001', 'CALL_1'])
      expect(matches(one, { ...NO_FILTERS, q }), q).toBe(true);
    expect(matches(one, { ...NO_FILTERS, q: 'karl' })).toBe(false);
  });
});
