// The API's real answers against the types the console is written with.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { api, LiveCall } from './gateway';
import { shapes } from './shapes';

let call: LiveCall;
beforeAll(async () => {
  call = await LiveCall.place();
});
afterAll(async () => {
  await call?.cleanUp();
});

it('lists and states have the shapes the pages read', async () => {
  expect(shapes.calls(await api('/api/calls?limit=50'), 'calls')).toEqual([]);
  expect(shapes.messages(await api('/api/messages?limit=50'), 'messages')).toEqual([]);
  expect(shapes.extensions(await api('/api/extensions'), 'extensions')).toEqual([]);
  expect(shapes.readiness(await api('/readyz'), 'readiness')).toEqual([]);
});

it('so has every call of the first page, live and ended, with its events', async () => {
  const { items } = await api<{ items: { id: string }[] }>('/api/calls?limit=20');
  expect(items.map((one) => one.id)).toContain(call.id);
  for (const { id } of items) {
    expect(shapes.call(await api(`/api/calls/${id}`), id)).toEqual([]);
    expect(shapes.events(await api(`/api/calls/${id}/events?limit=500`), `${id} events`)).toEqual([]);
  }
});
