import { backoff, EventParser, type ServerEvent } from '../lib/sse';
import { ApiError, authorized, errorFrom } from './client';

export type LinkState =
  | { state: 'connecting' }
  | { state: 'live' }
  /** The gateway answers, but this role may not follow along. */
  | { state: 'refused' }
  /** `since` and `retryAt` in milliseconds since the epoch on this machine's clock. */
  | { state: 'offline'; since: number; retryAt: number };

/** A stream that says nothing for this long is taken for dead; the gateway sends comments in between. */
const SILENCE_MS = 45_000;

/** Rights change rarely. */
const REFUSED_RETRY_MS = 60_000;

/** A stream that lasted this long has worked: its end is not counted as a failure. */
const WORKED_MS = 5000;

/**
 * Keeps one stream of `GET /api/events` open until stopped. After a break the stream goes on where it was,
 * or says `reset`: then, and when it had not said anything yet, `onMissed` asks for everything to be read
 * again. The gateway ends a stream with its access token; that is no break anybody should see.
 */
export class LiveLink {
  private current: LinkState = { state: 'connecting' };
  private listeners = new Set<() => void>();
  private stopped = false;
  private abort: AbortController | null = null;
  private wake: (() => void) | null = null;
  private lastId: string | undefined;

  constructor(
    private readonly onEvent: (event: ServerEvent) => void,
    private readonly onMissed: () => void,
  ) {}

  get = (): LinkState => this.current;

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  start(): void {
    this.stopped = false;
    void this.run();
  }

  stop(): void {
    this.stopped = true;
    this.abort?.abort();
    this.wake?.();
  }

  /** Tries at once instead of waiting for the backoff to pass. */
  retryNow = (): void => this.wake?.();

  private set(next: LinkState): void {
    this.current = next;
    for (const listener of this.listeners) listener();
  }

  private async run(): Promise<void> {
    let failures = 0;
    let since = Date.now();
    while (!this.stopped) {
      const began = Date.now();
      const end = await this.connectOnce();
      if (this.stopped) return;
      if (end === 'refused') {
        this.set({ state: 'refused' });
        await this.sleep(REFUSED_RETRY_MS);
        continue;
      }
      if (end !== 'never opened') since = Date.now();
      const worked = end !== 'never opened' && Date.now() - began >= WORKED_MS;
      if (worked && end === 'closed') {
        failures = 0;
        continue;
      }
      failures = worked ? 1 : failures + 1;
      const wait = backoff(failures);
      this.set({ state: 'offline', since, retryAt: Date.now() + wait });
      await this.sleep(wait);
    }
  }

  private sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        removeEventListener('online', done);
        this.wake = null;
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.wake = done;
      addEventListener('online', done);
    });
  }

  private async connectOnce(): Promise<'refused' | 'never opened' | 'closed' | 'broken'> {
    const abort = new AbortController();
    this.abort = abort;
    let opened = false;
    let watchdog: ReturnType<typeof setTimeout> | undefined;
    const alive = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => abort.abort(), SILENCE_MS);
    };
    try {
      alive();
      const response = await authorized('/api/events', {
        signal: abort.signal,
        accept: 'text/event-stream',
        headers: this.lastId ? { 'last-event-id': this.lastId } : {},
      });
      if (!response.ok || !response.body) throw await errorFrom(response);
      opened = true;
      const isFirst = this.current.state === 'connecting';
      this.set({ state: 'live' });
      if (!isFirst && !this.lastId) this.onMissed();
      const parser = new EventParser();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return 'closed';
        alive();
        for (const event of parser.push(value)) this.take(event);
      }
    } catch (error) {
      if (error instanceof ApiError && error.isForbidden) return 'refused';
      return opened ? 'broken' : 'never opened';
    } finally {
      clearTimeout(watchdog);
      abort.abort();
    }
  }

  private take(event: ServerEvent): void {
    this.lastId = event.id ?? this.lastId;
    if (event.event === 'reset') this.onMissed();
    else this.onEvent(event);
  }
}
