// The gateway as a test reaches it beside the browser: over its API, and by a phone of the caller's choice.
import { type ChildProcess, spawn } from 'node:child_process';
import { BASE_URL, PASSWORD, USERNAME } from './browser.mjs';

/** Whom to call when the API starts the call. */
const PHONE = process.env.SWITCHHOOK_E2E_PHONE ?? '2001';
/** A shell command that places a call which lasts until somebody ends it, instead of the API. */
const CALL_COMMAND = process.env.SWITCHHOOK_E2E_CALL;
const DEADLINE_MS = 20_000;

let token: string | undefined;

async function request<T>(path: string, init: RequestInit = {}): Promise<T> {
  const response = await fetch(BASE_URL + path, {
    ...init,
    headers: {
      'content-type': 'application/json',
      ...(token ? { authorization: `Bearer ${token}` } : {}),
    },
  });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}

export async function api<T>(path: string, init: RequestInit = {}): Promise<T> {
  if (!token) {
    const body = JSON.stringify({ username: USERNAME, password: PASSWORD });
    const answer = await request<{ access_token: string }>('/api/auth/token', { method: 'POST', body });
    token = answer.access_token;
  }
  return request<T>(path, init);
}

type Row = { id: string; status: string };
const newest = () => api<{ items: Row[] }>('/api/calls?limit=50').then((page) => page.items);

/** Asks until `probe` finds something, or fails at the deadline. */
export async function until<T>(what: string, probe: () => Promise<T | undefined>): Promise<T> {
  const deadline = Date.now() + DEADLINE_MS;
  while (Date.now() < deadline) {
    const found = await probe();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${what}: not within ${DEADLINE_MS} ms`);
}

export class LiveCall {
  private constructor(
    readonly id: string,
    private readonly phone: ChildProcess | null,
  ) {}

  /** Returns once the gateway knows the call. */
  static async place(): Promise<LiveCall> {
    const before = new Set((await newest()).map((row) => row.id));
    if (!CALL_COMMAND) {
      const body = JSON.stringify({ phone: PHONE });
      const answer = await api<{ call_id: string }>('/api/calls/initiate', { method: 'POST', body });
      return new LiveCall(answer.call_id, null);
    }
    // A group of its own, so that the shell's children end with it.
    const phone = spawn('sh', ['-c', CALL_COMMAND], { stdio: 'ignore', detached: true });
    const id = await until('a new call at the gateway', async () => {
      const row = (await newest()).find((one) => !before.has(one.id) && one.status !== 'ended');
      return row?.id;
    });
    return new LiveCall(id, phone);
  }

  async status(): Promise<string> {
    return (await api<Row>(`/api/calls/${this.id}`)).status;
  }

  /** Whatever the test left behind. */
  async cleanUp(): Promise<void> {
    if ((await this.status()) !== 'ended') {
      await api(`/api/calls/${this.id}/hangup`, { method: 'POST', body: '{}' }).catch(() => undefined);
    }
    if (this.phone?.pid && this.phone.exitCode === null) process.kill(-this.phone.pid, 'SIGTERM');
  }
}
