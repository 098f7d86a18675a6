/** One server-sent event (WHATWG HTML §9.2). */
export interface ServerEvent {
  event: string;
  data: string;
  id?: string;
}

/**
 * Cuts a text stream into events. `EventSource` cannot send an Authorization header, so the stream is
 * read with fetch and parsed here.
 */
export class EventParser {
  private rest = '';
  private event = '';
  private data: string[] = [];
  private id: string | undefined;

  push(chunk: string): ServerEvent[] {
    const found: ServerEvent[] = [];
    this.rest += chunk;
    // A lone CR at the end may be the first half of CRLF: it waits for the next chunk.
    const lines = this.rest.split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop() ?? '';
    for (const line of lines) {
      const done = this.line(line);
      if (done) found.push(done);
    }
    return found;
  }

  private line(line: string): ServerEvent | null {
    if (line === '') {
      const complete =
        this.data.length > 0
          ? { event: this.event || 'message', data: this.data.join('\n'), id: this.id }
          : null;
      this.event = '';
      this.data = [];
      return complete;
    }
    if (line.startsWith(':')) return null;
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') this.event = value;
    else if (field === 'data') this.data.push(value);
    else if (field === 'id') this.id = value;
    return null;
  }
}

/** Milliseconds before try number `attempt` (from 1): doubling from 0.5 s to 15 s, with jitter. */
export function backoff(attempt: number, random: number = Math.random()): number {
  const ceiling = Math.min(15_000, 500 * 2 ** Math.min(attempt - 1, 10));
  return Math.round(ceiling * (0.5 + random / 2));
}
