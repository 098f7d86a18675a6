import { backoff, EventParser, type ServerEvent } from '../lib/sse';
import { authorized, errorFrom } from './client';

export type LinkState =
  | { state: 'connecting' }
  | { state: 'live' }
  /** `since` and `retryAt` in milliseconds since the epoch on this machine's clock. */
  | { state: 'offline'; since: number; retryAt: number };

/** A stream that says nothing for this long is taken for dead; the gateway sends comments in between. */
const SILENCE_MS = 45_000;

/**
 * Keeps one stream of `GET /api/events` open until stopped. `onLive` runs after each successful
 * connection: what happened in between was missed and must be read again.
 */
export class LiveLink {
  private current: LinkState = { state: 'connecting' };
  private listeners = new Set<() => void>();
  private stopped = false;
  private abort: AbortController | null = null;
  private wake: (() => void) | null = null;

  constructor(
    private readonly onEvent: (event: ServerEvent) => void,
    private readonly onLive: (again: boolean) => void,
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
    let attempt = 0;
    let everLive = false;
    let since = Date.now();
    while (!this.stopped) {
      const began = Date.now();
      const lived = await this.connectOnce(() => {
        attempt = 0;
        this.set({ state: 'live' });
        this.onLive(everLive);
        everLive = true;
      });
      if (this.stopped) return;
      if (lived) since = Date.now();
      attempt += 1;
      // A server that closes an orderly stream at once must not be called in a tight loop either.
      const wait = backoff(lived && Date.now() - began > 5000 ? 1 : attempt + (lived ? 1 : 0));
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

  /** True if the stream had been open. */
  private async connectOnce(onOpen: () => void): Promise<boolean> {
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
      });
      if (!response.ok || !response.body) throw await errorFrom(response);
      opened = true;
      onOpen();
      const parser = new EventParser();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return opened;
        alive();
        for (const event of parser.push(value)) this.onEvent(event);
      }
    } catch {
      return opened;
    } finally {
      clearTimeout(watchdog);
      abort.abort();
    }
  }
}
