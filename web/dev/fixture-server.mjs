// DEVELOPMENT ONLY: the operator API with invented calls. The real one is the gateway.
//   node dev/fixture-server.mjs [--port 8080] [--empty]
// Serves dist/ too, under the content security policy the gateway uses.

import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { wavOf } from './fixture-audio.mjs';
import * as data from './fixture-data.mjs';

const args = process.argv.slice(2);
const flag = (name) => {
  const at = args.indexOf(name);
  return at < 0 ? undefined : args[at + 1];
};
const port = Number(flag('--port') ?? process.env.PORT ?? 8080);
const dist = fileURLToPath(new URL('../dist', import.meta.url));

const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
  "connect-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
};

const calls = new Map();
const streams = new Set();
const put = (entry) => calls.set(entry.call.id, entry);
let counter = 0;
const newId = () => `call_01KDEMO${String(++counter).padStart(6, '0')}${randomUUID().slice(0, 6)}`;

if (!args.includes('--empty')) {
  const now = Date.now();
  const minute = 60_000;
  put(data.ringingTransfer(newId(), now - 22_000));
  put(data.talkingCall(newId(), now - 41_000));
  put(data.withAgentCall(newId(), now - 4 * minute));
  put(data.bridgedCall(newId(), now - 12 * minute));
  put(data.messageCall(newId(), now - 31 * minute));
  put(data.violatedCall(newId(), now - 75 * minute));
  for (let n = 0; n < 70; n++) put(data.plainCall(newId(), now - (90 + n * 41) * minute, n));
}

const row = ({ call }) => {
  const {
    legs: _legs,
    transfers: _transfers,
    turns: _turns,
    recording: _recording,
    violations,
    ...head
  } = call;
  return { ...head, violations: violations.length };
};

function publish(event, payload) {
  for (const stream of streams) stream.write(`event: ${event}\ndata: ${JSON.stringify(payload)}\n\n`);
}
const changed = (entry) => publish('call', row(entry));

function end(entry, ended_by, code) {
  const { call } = entry;
  if (call.status === 'ended') return;
  const now = new Date().toISOString();
  call.status = 'ended';
  call.ended_at = now;
  call.headline = { clauses: [{ key: `ended_by_${ended_by}` }] };
  call.outcome = { code, ended_by, responsible: 'nobody', detail: '' };
  for (const leg of call.legs) {
    if (leg.ended_at) continue;
    leg.state = 'ended';
    leg.ended_at = now;
    leg.cause = leg.answered_at ? 'normal' : 'canceled';
  }
  for (const transfer of call.transfers) {
    if (transfer.outcome) continue;
    transfer.outcome = ended_by === 'caller' ? 'caller_gone' : 'failed';
    transfer.ended_at = now;
    for (const attempt of transfer.attempts) {
      if (attempt.result) continue;
      attempt.result = 'canceled';
      attempt.ended_at = now;
    }
  }
  changed(entry);
}

function start(phone) {
  const id = newId();
  const entry = data.plainCall(id, Date.now(), 0);
  Object.assign(entry.call, {
    direction: 'outbound',
    caller: phone,
    caller_name: null,
    callee: phone,
    status: 'ringing',
    answered_at: null,
    ended_at: null,
    outcome: null,
    latency: null,
    headline: { clauses: [{ key: 'ringing', args: { callee: phone } }] },
  });
  Object.assign(entry.call.legs[0], {
    state: 'ringing',
    answered_at: null,
    ended_at: null,
    cause: undefined,
    target: phone,
  });
  entry.events.length = 1;
  put(entry);
  changed(entry);
  setTimeout(() => {
    if (entry.call.status !== 'ringing') return;
    const now = new Date().toISOString();
    Object.assign(entry.call, {
      status: 'assistant',
      answered_at: now,
      headline: { clauses: [{ key: 'with_assistant' }] },
    });
    Object.assign(entry.call.legs[0], { state: 'answered', answered_at: now });
    changed(entry);
  }, 2500);
  return entry;
}

const EXTENSIONS = [
  {
    extension: '2001',
    display_name: 'Jonas Weber',
    registered: true,
    contacts: [
      {
        uri: 'sip:2001@203.0.113.21:5060',
        user_agent: 'baresip v1.0.0',
        expires_at: new Date(Date.now() + 3_400_000).toISOString(),
      },
    ],
  },
  { extension: '2005', display_name: 'Billing', registered: false, contacts: [] },
];

const READY = () => ({
  status: 'degraded',
  version: '0.1.0',
  mode: 'demo',
  capacity: {
    calls_active: [...calls.values()].filter((c) => c.call.status !== 'ended').length,
    calls_max: 200,
  },
  sip: {
    assistant: 'assistant',
    host: null,
    listeners: [
      { transport: 'udp', ip: '127.0.0.1', port: 5060 },
      { transport: 'tcp', ip: '127.0.0.1', port: 5060 },
    ],
  },
  integrations: [
    {
      name: 'database',
      state: 'ok',
      detail: 'sqlite, var/switchhook.db',
      checked_at: new Date().toISOString(),
      latency_ms: 1,
    },
    {
      name: 'sip',
      state: 'ok',
      detail: 'UDP and TCP on 127.0.0.1:5060',
      checked_at: new Date().toISOString(),
    },
    {
      name: 'speech',
      state: 'ok',
      detail: 'faster-whisper base, hibari-tts',
      checked_at: new Date().toISOString(),
      latency_ms: 42,
    },
    {
      name: 'notices',
      state: 'degraded',
      detail: 'last delivery failed',
      cause: 'hooks.example.net answered 500',
      cure: 'Check the receiver of the webhook and its log; deliveries go on by themselves.',
      checked_at: new Date().toISOString(),
    },
    { name: 'trunk', state: 'not_configured', detail: 'no trunk in the configuration' },
  ],
});

function send(response, status, body, headers = {}) {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers });
  response.end(JSON.stringify(body));
}
const refuse = (response, status, code, message) =>
  send(response, status, { error: { code, message, request_id: `req_${randomUUID().slice(0, 8)}` } });

async function readJson(request) {
  let text = '';
  for await (const chunk of request) text += chunk;
  return text ? JSON.parse(text) : {};
}

function page(items, url, limit, keyOf) {
  const cursor = url.searchParams.get('cursor');
  const from = cursor ? items.findIndex((item) => keyOf(item) === cursor) + 1 : 0;
  const part = items.slice(from, from + limit);
  const more = from + limit < items.length;
  return { items: part, next_cursor: more ? keyOf(part.at(-1)) : null };
}

function listCalls(url) {
  const q = (url.searchParams.get('q') ?? '').toLowerCase();
  const wants = (name) => url.searchParams.get(name);
  const items = [...calls.values()]
    .map(row)
    .filter((one) => !wants('status') || wants('status').split(',').includes(one.status))
    .filter((one) => !wants('direction') || one.direction === wants('direction'))
    .filter((one) => !wants('from') || one.started_at >= wants('from'))
    .filter((one) => !wants('to') || one.started_at < wants('to'))
    .filter(
      (one) =>
        !q || JSON.stringify([one.id, one.caller, one.caller_name, one.callee]).toLowerCase().includes(q),
    )
    .sort((a, b) => b.started_at.localeCompare(a.started_at));
  return page(items, url, Math.min(200, Number(wants('limit') ?? 50)), (one) => one.id);
}

const tokens = (role) => ({
  access_token: `fixture-${role}-${randomUUID()}`,
  refresh_token: `refresh-${role}`,
  token_type: 'Bearer',
  expires_in: 900,
  role,
});

async function answer(request, response, url) {
  const path = url.pathname;
  if (path === '/api/auth/token') {
    const { username, password } = await readJson(request);
    if (!['operator', 'desk'].includes(username) || password !== username) {
      return refuse(response, 401, 'auth.invalid', 'user name or password is wrong');
    }
    return send(response, 200, tokens(username));
  }
  if (path === '/api/auth/refresh') return send(response, 200, tokens('operator'));
  if (path === '/readyz') return send(response, 200, READY());
  const bearer = request.headers.authorization ?? '';
  if (!bearer.startsWith('Bearer fixture-'))
    return refuse(response, 401, 'auth.required', 'a bearer token is required');
  if (bearer.includes('-desk-'))
    return refuse(response, 403, 'auth.forbidden', 'the role desk may not do this');

  if (path === '/api/events') {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    // Nothing is kept here: whoever comes back is told to read everything again.
    response.write(
      `id: fixture-0\nevent: ${request.headers['last-event-id'] ? 'reset' : 'hello'}\ndata: {}\n\n`,
    );
    streams.add(response);
    const beat = setInterval(() => response.write(': beat\n\n'), 10_000);
    request.on('close', () => {
      clearInterval(beat);
      streams.delete(response);
    });
    return;
  }
  if (path === '/api/calls/initiate') {
    const { phone } = await readJson(request);
    if (phone === '2005') {
      return refuse(
        response,
        409,
        'extension.unregistered',
        'extension 2005 is not registered; sign a phone in as 2005 first',
      );
    }
    const entry = start(phone);
    return send(response, 202, {
      call_id: entry.call.id,
      session_id: entry.call.id,
      status: 'ringing',
      twilio_configured: false,
      message: '',
    });
  }
  if (path === '/api/calls') return send(response, 200, listCalls(url));
  if (path === '/api/messages') {
    const items = [...calls.values()]
      .flatMap((c) => c.messages)
      .sort((a, b) => b.created_at.localeCompare(a.created_at));
    const id = url.searchParams.get('call_id');
    return send(
      response,
      200,
      page(
        items.filter((m) => !id || m.call_id === id),
        url,
        100,
        (m) => m.id,
      ),
    );
  }
  if (path === '/api/extensions') return send(response, 200, { items: EXTENSIONS, next_cursor: null });

  const of = /^\/api\/calls\/([^/]+)(?:\/(\w+))?$/.exec(path);
  const entry = of && calls.get(decodeURIComponent(of[1]));
  if (!entry) return refuse(response, 404, 'call.unknown', 'no call has this id');
  switch (of[2]) {
    case undefined:
      return send(response, 200, entry.call);
    case 'events':
      return send(response, 200, { items: entry.events, next_cursor: null });
    case 'recording': {
      if (entry.call.recording?.state !== 'ready')
        return refuse(response, 404, 'recording.none', 'no recording');
      const wav = wavOf(entry.call);
      response.writeHead(200, { 'content-type': 'audio/wav', 'content-length': wav.length });
      return response.end(wav);
    }
    case 'hangup':
      if (entry.call.status === 'ended') return refuse(response, 409, 'call.ended', 'the call is over');
      end(entry, 'operator', 'operator_hangup');
      return send(response, 202, { status: 'ending' });
    case 'transfer': {
      const { target, department } = await readJson(request);
      if (department && department !== 'sales') {
        return refuse(
          response,
          422,
          'transfer.unknown_department',
          `no department ${department}; known: sales`,
        );
      }
      const now = new Date().toISOString();
      const n = entry.call.transfers.length + 1;
      entry.call.status = 'transferring';
      entry.call.transfers.push({
        id: `tr_${entry.call.id.slice(5)}-${n}`,
        requested_by: 'operator',
        reason: 'operator',
        department: department ?? null,
        closed: false,
        requested_at: now,
        attempts: [
          { id: `att_${n}`, target: target ?? '2001', ring_timeout_s: 20, result: null, started_at: now },
        ],
        notices: [],
      });
      changed(entry);
      return send(response, 202, { status: 'transferring' });
    }
    default:
      return refuse(response, 404, 'http.not_found', 'no such resource');
  }
}

function serveFile(response, path) {
  const wanted = normalize(join(dist, path));
  const inside = wanted.startsWith(dist) && extname(wanted) && existsSync(wanted);
  const file = inside ? wanted : join(dist, 'index.html');
  if (!existsSync(file)) return refuse(response, 404, 'http.not_built', 'run npm run build first');
  response.writeHead(200, {
    'content-type': TYPES[extname(file)] ?? 'application/octet-stream',
    'content-security-policy': CSP,
    'x-content-type-options': 'nosniff',
    'cache-control': path.startsWith('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache',
  });
  response.end(readFileSync(file));
}

createServer((request, response) => {
  const url = new URL(request.url, 'http://fixture');
  const isApi = url.pathname.startsWith('/api/') || ['/readyz', '/healthz'].includes(url.pathname);
  if (!isApi) return serveFile(response, url.pathname);
  answer(request, response, url).catch((error) => refuse(response, 500, 'fixture.fault', String(error)));
}).listen(port, '127.0.0.1', () => {
  process.stdout.write(`fixture server (development only): http://127.0.0.1:${port}/ operator / operator\n`);
});
