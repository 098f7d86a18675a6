import {
  type InfiniteData,
  QueryClient,
  useInfiniteQuery,
  useMutation,
  useQuery,
} from '@tanstack/react-query';
import { type CallFilters, filtersFromSearch, filtersToQuery, filtersToSearch, upsert } from '../lib/filters';
import type { ServerEvent } from '../lib/sse';
import { ApiError, api, authorized, errorFrom } from './client';
import type {
  CallDetail,
  CallEvent,
  CallRow,
  ExtensionRow,
  InitiateAnswer,
  Message,
  Page,
  Readiness,
} from './types';

const PAGE_SIZE = 50;

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      // The live link says what changed; asking again on focus would only repeat it.
      refetchOnWindowFocus: false,
      staleTime: 30_000,
      retry: (count, error) =>
        count < 3 &&
        (!(error instanceof ApiError) || error.isOffline || error.status === 503 || error.status === 429),
    },
  },
});

const keys = {
  calls: (filters: CallFilters) => ['calls', filtersToSearch(filters)] as const,
  call: (id: string) => ['call', id] as const,
  events: (id: string) => ['call-events', id] as const,
  recording: (id: string) => ['recording', id] as const,
  messages: ['messages'] as const,
  extensions: ['extensions'] as const,
  readiness: ['readiness'] as const,
};

const path = (id: string) => `/api/calls/${encodeURIComponent(id)}`;

export function useCalls(filters: CallFilters) {
  return useInfiniteQuery({
    queryKey: keys.calls(filters),
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam, signal }) =>
      api<Page<CallRow>>(`/api/calls?${filtersToQuery(filters, PAGE_SIZE, pageParam)}`, { signal }),
    getNextPageParam: (last) => last.next_cursor ?? undefined,
  });
}

export function useCall(id: string) {
  return useQuery({
    queryKey: keys.call(id),
    queryFn: ({ signal }) => api<CallDetail>(path(id), { signal }),
  });
}

/** All events of a call, page after page. */
export function useCallEvents(id: string) {
  return useQuery({
    queryKey: keys.events(id),
    queryFn: async ({ signal }) => {
      const all: CallEvent[] = [];
      let cursor: string | null | undefined;
      do {
        const params = new URLSearchParams({ limit: '500' });
        if (cursor) params.set('cursor', cursor);
        const page = await api<Page<CallEvent>>(`${path(id)}/events?${params}`, { signal });
        all.push(...page.items);
        cursor = page.next_cursor;
      } while (cursor);
      return all;
    },
  });
}

/** The recording as a blob: a media element cannot send the Authorization header. */
export function useRecording(id: string, enabled: boolean) {
  return useQuery({
    queryKey: keys.recording(id),
    enabled,
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: async ({ signal }) => {
      const response = await authorized(`${path(id)}/recording`, { signal, accept: 'audio/wav' });
      if (!response.ok) throw await errorFrom(response);
      return response.blob();
    },
  });
}

export function useMessages(enabled = true) {
  return useInfiniteQuery({
    enabled,
    queryKey: keys.messages,
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam, signal }) => {
      const params = new URLSearchParams({ limit: '100' });
      if (pageParam) params.set('cursor', pageParam);
      return api<Page<Message>>(`/api/messages?${params}`, { signal });
    },
    getNextPageParam: (last) => last.next_cursor ?? undefined,
  });
}

export function useExtensions() {
  return useQuery({
    queryKey: keys.extensions,
    queryFn: ({ signal }) => api<Page<ExtensionRow>>('/api/extensions', { signal }),
    refetchInterval: 15_000,
  });
}

export function useReadiness() {
  return useQuery({
    queryKey: keys.readiness,
    // "Not ready" is an answer, too: 503 carries the same body.
    queryFn: async ({ signal }) => {
      const response = await authorized('/readyz', { signal });
      if (!response.ok && response.status !== 503) throw await errorFrom(response);
      return readiness(await response.json());
    },
    refetchInterval: 30_000,
  });
}

/** Reads `/readyz`, whose integrations are a list or a table by name. */
export function readiness(body: unknown): Readiness {
  const all = body as Omit<Readiness, 'integrations'> & { integrations?: unknown };
  const raw = all.integrations ?? [];
  const integrations = Array.isArray(raw)
    ? raw
    : Object.entries(raw as Record<string, unknown>).map(([name, value]) =>
        typeof value === 'string' ? { name, state: value } : { name, ...(value as object) },
      );
  return { ...all, integrations: integrations as Readiness['integrations'] };
}

const json = (body: unknown) => ({ method: 'POST', json: body });

export const useStartCall = () =>
  useMutation({ mutationFn: (phone: string) => api<InitiateAnswer>('/api/calls/initiate', json({ phone })) });

export const useHangup = () =>
  useMutation({ mutationFn: (id: string) => api<unknown>(`${path(id)}/hangup`, json({})) });

export const useTransfer = () =>
  useMutation({
    mutationFn: ({ id, ...where }: { id: string; target?: string; department?: string }) =>
      api<unknown>(`${path(id)}/transfer`, json(where)),
  });

type CallPages = InfiniteData<Page<CallRow>, string | undefined>;

function applyRow(row: CallRow): void {
  for (const [key, data] of queryClient.getQueriesData<CallPages>({ queryKey: ['calls'] })) {
    if (!data) continue;
    const filters = filtersFromSearch(String(key[1]));
    const holding = data.pages.findIndex((page) => page.items.some((item) => item.id === row.id));
    const at = Math.max(0, holding);
    const pages = data.pages.map((page, i) =>
      i === at ? { ...page, items: upsert(page.items, row, filters) } : page,
    );
    queryClient.setQueryData<CallPages>(key, { ...data, pages });
  }
}

function countLive(row: CallRow): void {
  queryClient.setQueryData<string[]>(['calls-live'], (ids) => {
    if (!ids) return ids;
    const others = ids.filter((id) => id !== row.id);
    return row.status === 'ended' ? others : [...others, row.id];
  });
}

const pending = new Map<string, ReturnType<typeof setTimeout>>();

/** Reads a call again soon, once for a burst of events. */
function refreshCall(id: string): void {
  if (pending.has(id)) return;
  pending.set(
    id,
    setTimeout(() => {
      pending.delete(id);
      void queryClient.invalidateQueries({ queryKey: keys.call(id) });
      void queryClient.invalidateQueries({ queryKey: keys.events(id) });
      void queryClient.invalidateQueries({ queryKey: ['call-messages', id] });
    }, 150),
  );
}

export function applyServerEvent(event: ServerEvent): void {
  let data: unknown;
  try {
    data = JSON.parse(event.data);
  } catch {
    return;
  }
  if (event.event === 'call') {
    const row = data as CallRow;
    applyRow(row);
    countLive(row);
    refreshCall(row.id);
  } else if (event.event === 'message') {
    void queryClient.invalidateQueries({ queryKey: keys.messages });
    const callId = (data as Message).call_id;
    if (callId) refreshCall(callId);
  } else if (event.event === 'extension') {
    void queryClient.invalidateQueries({ queryKey: keys.extensions });
  }
}

/** After a gap in the live stream everything shown may be old. */
export function refreshAll(): void {
  void queryClient.invalidateQueries();
}

/** How many calls are live, for the navigation: kept by its own small query, whatever the list shows. */
export function useLiveCount(): number {
  const query = useQuery({
    queryKey: ['calls-live'],
    queryFn: ({ signal }) =>
      api<Page<CallRow>>('/api/calls?limit=200', { signal }).then((page) =>
        page.items.filter((row) => row.status !== 'ended').map((row) => row.id),
      ),
  });
  return query.data?.length ?? 0;
}

/** The messages one call gave rise to. */
export function useCallMessages(id: string) {
  return useQuery({
    queryKey: ['call-messages', id],
    queryFn: ({ signal }) =>
      api<Page<Message>>(`/api/messages?call_id=${encodeURIComponent(id)}&limit=100`, { signal }).then(
        (page) =>
          // A gateway that does not know the filter answers with everybody's messages.
          page.items.filter((message) => message.call_id === id),
      ),
  });
}
