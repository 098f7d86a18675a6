import type { ApiErrorBody, TokenAnswer } from './types';

/** A refusal or failure of the API, or `status` 0 when it could not be reached. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly requestId?: string,
    readonly details?: unknown,
  ) {
    super(message);
    this.name = 'ApiError';
  }

  get isForbidden(): boolean {
    return this.status === 403;
  }

  get isOffline(): boolean {
    return this.status === 0 || this.status === 502 || this.status === 504;
  }
}

export interface Credentials {
  accessToken: string;
  refreshToken: string;
  role: string;
  username: string;
  /** Milliseconds since the epoch on this machine's clock. */
  expiresAt: number;
}

const STORAGE_KEY = 'switchhook.credentials';
let credentials: Credentials | null = read();
const listeners = new Set<() => void>();
let expired = false;

function read(): Credentials | null {
  try {
    const text = sessionStorage.getItem(STORAGE_KEY);
    return text ? (JSON.parse(text) as Credentials) : null;
  } catch {
    return null;
  }
}

function keep(next: Credentials | null): void {
  credentials = next;
  try {
    if (next) sessionStorage.setItem(STORAGE_KEY, JSON.stringify(next));
    else sessionStorage.removeItem(STORAGE_KEY);
  } catch {
    // Without storage the login lasts until the page is closed.
  }
  for (const listener of listeners) listener();
}

/** The gateway no longer takes the login: unlike signing out, the next page says why. */
function expire(): void {
  expired = credentials !== null;
  keep(null);
}

export const auth = {
  get: () => credentials,
  hasExpired: () => expired,
  subscribe(listener: () => void): () => void {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
  signOut(): void {
    expired = false;
    keep(null);
  },
  async signIn(username: string, password: string): Promise<void> {
    const answer = await send<TokenAnswer>('/api/auth/token', {
      method: 'POST',
      json: { username, password },
    });
    keepAnswer(answer, username);
  },
};

function keepAnswer(answer: TokenAnswer, username: string): void {
  expired = false;
  keep({
    accessToken: answer.access_token,
    refreshToken: answer.refresh_token,
    role: answer.role,
    username,
    expiresAt: Date.now() + answer.expires_in * 1000,
  });
}

let refreshing: Promise<boolean> | null = null;

/** One refresh at a time: several requests that meet a 401 together wait for the same answer. */
function refresh(): Promise<boolean> {
  refreshing ??= (async () => {
    const held = credentials;
    if (!held) return false;
    try {
      const answer = await send<TokenAnswer>('/api/auth/refresh', {
        method: 'POST',
        json: { refresh_token: held.refreshToken },
      });
      keepAnswer({ ...answer, refresh_token: answer.refresh_token ?? held.refreshToken }, held.username);
      return true;
    } catch (error) {
      // Only a refusal ends the login; an unreachable gateway does not.
      if (error instanceof ApiError && !error.isOffline) expire();
      return false;
    }
  })().finally(() => {
    refreshing = null;
  });
  return refreshing;
}

interface RequestOptions {
  method?: string;
  json?: unknown;
  signal?: AbortSignal;
  accept?: string;
  headers?: Record<string, string>;
}

/** How far the gateway's clock is ahead of this machine's, in milliseconds. */
let clockOffset = 0;
export const gatewayNow = (): number => Date.now() + clockOffset;

function noteClock(response: Response): void {
  const date = Date.parse(response.headers.get('date') ?? '');
  if (Number.isNaN(date)) return;
  // The header has whole seconds: a smaller difference is rounding, not a wrong clock.
  const difference = date + 500 - Date.now();
  clockOffset = Math.abs(difference) > 2000 ? difference : 0;
}

async function plain(path: string, options: RequestOptions, token?: string): Promise<Response> {
  const headers: Record<string, string> = {
    accept: options.accept ?? 'application/json',
    ...options.headers,
  };
  if (token) headers.authorization = `Bearer ${token}`;
  if (options.json !== undefined) headers['content-type'] = 'application/json';
  let response: Response;
  try {
    response = await fetch(path, {
      method: options.method ?? 'GET',
      headers,
      body: options.json === undefined ? undefined : JSON.stringify(options.json),
      signal: options.signal,
      credentials: 'omit',
      cache: 'no-store',
    });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ApiError(0, 'offline', 'the gateway cannot be reached');
  }
  noteClock(response);
  return response;
}

export async function errorFrom(response: Response): Promise<ApiError> {
  const body = (await response.json().catch(() => null)) as ApiErrorBody | null;
  return new ApiError(
    response.status,
    body?.error?.code ?? `http_${response.status}`,
    body?.error?.message ?? response.statusText,
    body?.error?.request_id,
    body?.error?.details,
  );
}

async function send<T>(path: string, options: RequestOptions): Promise<T> {
  const response = await plain(path, options);
  if (!response.ok) throw await errorFrom(response);
  return (await response.json()) as T;
}

/** The response to an authenticated request, whatever its status. Refreshes an expired token once. */
export async function authorized(path: string, options: RequestOptions = {}): Promise<Response> {
  const held = credentials;
  if (held && held.expiresAt - Date.now() < 15_000) await refresh();
  const response = await plain(path, options, credentials?.accessToken);
  if (response.status !== 401 || !credentials) return response;
  // The token may have been replaced by a request that ran beside this one.
  const mayRetry = credentials.accessToken !== held?.accessToken || (await refresh());
  return mayRetry ? plain(path, options, credentials?.accessToken) : response;
}

export async function api<T>(path: string, options: RequestOptions = {}): Promise<T> {
  const response = await authorized(path, options);
  if (!response.ok) {
    if (response.status === 401) expire();
    throw await errorFrom(response);
  }
  if (response.status === 204) return undefined as T;
  return (await response.json()) as T;
}
