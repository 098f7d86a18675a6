// Runtime checks of what src/api/types.ts promises. Each shape must name every field of its type, so the
// types and the checks cannot drift apart; the checks meet the real answers in contract.e2e.ts.
import type {
  AudioAlarm,
  CallDetail,
  CallEvent,
  CallRow,
  DialAttempt,
  ExtensionRow,
  Integration,
  Leg,
  LegMedia,
  Message,
  Outcome,
  Readiness,
  Recording,
  SipReach,
  Transfer,
  Turn,
  Violation,
} from '../src/api/types';
import { DIRECTIONS, STATUSES } from '../src/lib/filters';

type Check = (value: unknown, at: string) => string[];
type Shape<T> = { [K in keyof Required<T>]: Check };

const bad = (at: string, expected: string, value: unknown) => [
  `${at}: expected ${expected}, got ${JSON.stringify(value)}`,
];

const text: Check = (value, at) => (typeof value === 'string' ? [] : bad(at, 'a text', value));
const whole: Check = (value, at) => (Number.isInteger(value) ? [] : bad(at, 'a whole number', value));
const flag: Check = (value, at) => (typeof value === 'boolean' ? [] : bad(at, 'true or false', value));
const anything: Check = () => [];
const time: Check = (value, at) =>
  typeof value === 'string' && /^\d{4}-\d\d-\d\dT.*Z$/.test(value) && !Number.isNaN(Date.parse(value))
    ? []
    : bad(at, 'a time in UTC', value);
const oneOf =
  (...allowed: string[]): Check =>
  (value, at) =>
    allowed.includes(value as string) ? [] : bad(at, allowed.join(' | '), value);
const optional =
  (check: Check): Check =>
  (value, at) =>
    value === null || value === undefined ? [] : check(value, at);
const list =
  (check: Check): Check =>
  (value, at) =>
    Array.isArray(value) ? value.flatMap((one, i) => check(one, `${at}[${i}]`)) : bad(at, 'a list', value);
function object<T>(shape: Shape<T>): Check {
  return (value, at) => {
    if (typeof value !== 'object' || value === null) return bad(at, 'an object', value);
    const fields = value as Record<string, unknown>;
    return Object.entries<Check>(shape).flatMap(([name, check]) => check(fields[name], `${at}.${name}`));
  };
}

const outcome = object<Outcome>({
  code: text,
  ended_by: optional(oneOf('caller', 'agent', 'assistant', 'operator', 'system')),
  responsible: optional(oneOf('caller', 'called', 'us', 'upstream', 'nobody')),
  detail: optional(text),
  remedy: optional(text),
});
const percentiles = object<{ p50: number; p95: number }>({ p50: whole, p95: whole });
const latency = object<{ first_audio_ms: unknown; ours_ms: unknown }>({
  first_audio_ms: optional(percentiles),
  ours_ms: optional(percentiles),
});

const row: Shape<CallRow> = {
  id: text,
  direction: oneOf(...DIRECTIONS),
  channel: text,
  simulated: optional(flag),
  profile: text,
  status: oneOf(...STATUSES),
  caller: text,
  caller_name: optional(text),
  callee: optional(text),
  assistant: optional(text),
  agent: optional(text),
  started_at: time,
  answered_at: optional(time),
  ended_at: optional(time),
  outcome: optional(outcome),
  latency: optional(latency),
  violations: whole,
};

const attempt = object<DialAttempt>({
  id: text,
  leg: optional(text),
  target: text,
  ring_timeout_s: whole,
  result: optional(oneOf('answered', 'no_answer', 'busy', 'failed', 'canceled', 'handed_over')),
  sip_status: optional(whole),
  explanation: optional(
    object<{ code: string; detail: string; remedy: string }>({ code: text, detail: text, remedy: text }),
  ),
  started_at: time,
  ended_at: optional(time),
});
const transfer = object<Transfer>({
  id: text,
  reason: optional(text),
  department: optional(text),
  summary: optional(text),
  requested_at: time,
  requested_by: optional(oneOf('assistant', 'operator', 'party')),
  closed: optional(flag),
  ended_at: optional(time),
  attempts: list(attempt),
  outcome: optional(
    oneOf(
      'bridged',
      'handed_over',
      'returned_to_transferor',
      'returned_to_assistant',
      'message_taken',
      'notified',
      'callback_scheduled',
      'declined',
      'caller_gone',
      'failed',
    ),
  ),
  notices: list(text),
});
const number: Check = (value, at) => (typeof value === 'number' ? [] : bad(at, 'a number', value));
const alarm = object<AudioAlarm>({
  kind: oneOf('nothing_heard', 'not_heard'),
  since: time,
  reason: optional(oneOf('nothing_arrives', 'not_authentic', 'foreign_source', 'not_usable')),
});
const legMedia = object<LegMedia>({
  codec: optional(text),
  srtp: optional(text),
  alarms: list(alarm),
  packets_received: optional(whole),
  packets_sent: optional(whole),
  lost: optional(whole),
  loss_percent: optional(number),
  late: optional(whole),
  concealed_ms: optional(whole),
  jitter_ms: optional(number),
  round_trip_ms: optional(number),
  mos: optional(number),
  far: optional(
    object<NonNullable<LegMedia['far']>>({
      reports: whole,
      lost: whole,
      loss_percent: number,
      jitter_ms: number,
      mos: number,
    }),
  ),
  unauthentic: optional(whole),
});
const leg = object<Leg>({
  id: text,
  kind: text,
  party: oneOf('caller', 'agent'),
  target: optional(text),
  state: oneOf('ringing', 'answered', 'canceling', 'ended'),
  started_at: time,
  answered_at: optional(time),
  ended_at: optional(time),
  cause: optional(text),
  sip_status: optional(whole),
  held_by_party_since: optional(time),
  held_by_operator_since: optional(time),
  media: optional(legMedia),
});
const turn = object<Turn>({
  id: text,
  n: whole,
  speaker: oneOf('caller', 'assistant', 'agent', 'system'),
  text,
  started_at: time,
  ended_at: optional(time),
  interrupted: flag,
  latency: optional(
    object<Required<NonNullable<Turn['latency']>>>({
      endpoint_ms: optional(whole),
      transcribe_ms: optional(whole),
      think_ms: optional(whole),
      tool_ms: optional(whole),
      synthesize_ms: optional(whole),
      ours_ms: optional(whole),
      first_audio_ms: optional(whole),
    }),
  ),
});
const recording = object<Recording>({
  id: text,
  state: oneOf('recording', 'ready', 'failed', 'deleted'),
  error: optional(text),
  duration_ms: optional(whole),
  started_at: time,
});
const violation = object<Violation>({
  code: text,
  detail: optional(text),
  at: optional(time),
  cause: optional(text),
  cure: optional(text),
});

const { agent: _agent, ...head } = row;
const detail: Shape<CallDetail> = {
  ...head,
  // The detail has legs instead.
  agent: anything,
  headline: (value, at) =>
    optional(
      object<{ clauses: unknown; en: string; de: string }>({
        clauses: list(object<{ key: string; args: unknown }>({ key: text, args: anything })),
        en: optional(text),
        de: optional(text),
      }),
    )(value, at),
  legs: list(leg),
  transfers: list(transfer),
  turns: list(turn),
  recording: optional(recording),
  violations: list(violation),
};

const event: Shape<CallEvent> = {
  id: text,
  at: time,
  kind: oneOf('wire', 'fact'),
  leg: optional(text),
  from: text,
  to: text,
  label: text,
  method: optional(text),
  status: optional(whole),
  text: optional(text),
  data: anything,
};
const message: Shape<Message> = {
  id: text,
  call_id: optional(text),
  channel: optional(text),
  to: optional(text),
  text,
  state: oneOf('queued', 'sending', 'accepted', 'delivered', 'failed'),
  vendor_id: optional(text),
  error: optional(text),
  attempts: optional(whole),
  created_at: time,
  updated_at: optional(time),
  next_attempt_at: optional(time),
};
const extension: Shape<ExtensionRow> = {
  extension: text,
  display_name: optional(text),
  registered: flag,
  contacts: list(
    object<ExtensionRow['contacts'][number]>({
      uri: text,
      expires_at: optional(time),
      user_agent: optional(text),
    }),
  ),
};
const integration = object<Integration>({
  name: text,
  state: oneOf('ok', 'degraded', 'not_configured'),
  detail: optional(text),
  cause: optional(text),
  cure: optional(text),
  checked_at: optional(time),
  latency_ms: optional(whole),
});
const readiness: Shape<Readiness> = {
  status: oneOf('ok', 'degraded', 'unready'),
  version: optional(text),
  mode: optional(text),
  integrations: list(integration),
  capacity: optional(
    object<{ calls_active: number; calls_max: number }>({ calls_active: whole, calls_max: whole }),
  ),
  sip: optional(
    object<SipReach>({
      assistant: optional(text),
      host: optional(text),
      listeners: list(object<SipReach['listeners'][number]>({ transport: text, ip: text, port: whole })),
    }),
  ),
};

const page = (item: Check): Check =>
  object<{ items: unknown; next_cursor: unknown }>({
    items: list(item),
    next_cursor: optional(text),
  });

export const shapes = {
  calls: page(object(row)),
  call: object(detail),
  events: page(object(event)),
  messages: page(object(message)),
  extensions: page(object(extension)),
  readiness: object(readiness),
};
