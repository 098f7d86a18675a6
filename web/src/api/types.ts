/**
 * The operator API as this console reads it. Names are the API's own, so that a word on the page, in
 * the log and in the database is the same word. Times are RFC 3339 in UTC; `_ms` and `_s` say the unit.
 *
 * Whatever may be missing while a call is young, or on an older gateway, is optional here: the pages
 * show what is known and leave out the rest.
 */

export type Direction = 'inbound' | 'outbound';
export type CallStatus = 'ringing' | 'assistant' | 'transferring' | 'with_agent' | 'ended';
export type EndedBy = 'caller' | 'agent' | 'assistant' | 'operator' | 'system';

export interface Outcome {
  code: string;
  ended_by?: EndedBy | null;
  responsible?: 'caller' | 'called' | 'us' | 'upstream' | 'nobody' | null;
  /** One English sentence each. */
  detail?: string | null;
  remedy?: string | null;
}

export type AttemptResult = 'answered' | 'no_answer' | 'busy' | 'failed' | 'canceled' | 'handed_over';

export type TransferOutcome =
  | 'bridged'
  | 'handed_over'
  | 'returned_to_transferor'
  | 'returned_to_assistant'
  | 'message_taken'
  | 'notified'
  | 'callback_scheduled'
  | 'declined'
  | 'caller_gone'
  | 'failed';

export interface DialAttempt {
  id?: string;
  target: string;
  ring_timeout_s: number;
  /** Missing while it rings. */
  result?: AttemptResult | null;
  sip_status?: number | null;
  /** What a refusal means; `code` begins with `dial.`. */
  explanation?: { code: string; detail: string; remedy: string } | null;
  started_at: string;
  /** When the result was known: for `answered` the instant of the answer. */
  ended_at?: string | null;
  leg?: string | null;
}

export interface Transfer {
  id: string;
  reason?: string | null;
  department?: string | null;
  summary?: string | null;
  requested_at: string;
  requested_by?: 'assistant' | 'operator' | 'party' | null;
  /** Requested outside the open hours. */
  closed?: boolean;
  ended_at?: string | null;
  attempts: DialAttempt[];
  /** Missing while it is under way. */
  outcome?: TransferOutcome | null;
  notices: string[];
}

export interface Leg {
  id: string;
  kind: string;
  party: string;
  target?: string | null;
  state: string;
  started_at: string;
  answered_at?: string | null;
  ended_at?: string | null;
  cause?: string | null;
  sip_status?: number | null;
  /** While it is held: by its own phone, by an operator. */
  held_by_party_since?: string | null;
  held_by_operator_since?: string | null;
  media?: LegMedia | null;
}

/** A leg's audio at the call's last step, or at the leg's end. */
export interface LegMedia {
  codec?: string | null;
  srtp?: string | null;
  alarms?: AudioAlarm[];
  packets_received?: number;
  packets_sent?: number;
  lost?: number;
  loss_percent?: number;
  late?: number;
  concealed_ms?: number;
  jitter_ms?: number;
  round_trip_ms?: number | null;
  mos?: number | null;
  /** What the party reports about our audio. */
  far?: { reports: number; lost: number; loss_percent: number; jitter_ms: number; mos: number } | null;
  unauthentic?: number;
}

export interface AudioAlarm {
  kind: 'nothing_heard' | 'not_heard';
  since: string;
  reason?: string;
}

export type Speaker = 'caller' | 'assistant' | 'agent' | 'system';

export interface TurnLatency {
  endpoint_ms?: number | null;
  transcribe_ms?: number | null;
  think_ms?: number | null;
  tool_ms?: number | null;
  synthesize_ms?: number | null;
  ours_ms?: number | null;
  first_audio_ms?: number | null;
}

export interface Turn {
  id: string;
  n: number;
  speaker: Speaker;
  text: string;
  started_at: string;
  ended_at?: string | null;
  interrupted?: boolean;
  latency?: TurnLatency | null;
}

export interface Percentiles {
  p50?: number | null;
  p95?: number | null;
}

export interface CallLatency {
  first_audio_ms?: Percentiles | null;
  ours_ms?: Percentiles | null;
}

export interface Recording {
  id: string;
  state?: 'recording' | 'ready' | 'failed' | 'deleted';
  error?: string | null;
  duration_ms?: number | null;
  started_at?: string | null;
}

export interface Violation {
  code: string;
  detail?: string | null;
  at?: string | null;
  cause?: string | null;
  cure?: string | null;
}

export interface Headline {
  clauses: { key: string; args?: Record<string, string> }[];
  /** The gateway's own wording, times in UTC. */
  en?: string;
  de?: string;
}

/** A row of `GET /api/calls` and the data of an SSE event `call`. */
export interface CallRow {
  id: string;
  direction: Direction;
  channel?: string;
  /** Nobody was really called: the gateway acted both ends. */
  simulated?: boolean;
  profile?: string;
  status: CallStatus;
  caller: string;
  caller_name?: string | null;
  callee?: string | null;
  assistant?: string | null;
  agent?: string | null;
  started_at: string;
  answered_at?: string | null;
  ended_at?: string | null;
  outcome?: Outcome | null;
  latency?: CallLatency | null;
  violations?: number | Violation[];
}

export interface CallDetail extends Omit<CallRow, 'violations'> {
  headline?: Headline | null;
  legs: Leg[];
  transfers: Transfer[];
  turns: Turn[];
  recording?: Recording | null;
  violations: Violation[];
}

export interface CallEvent {
  id: string;
  at: string;
  kind: 'wire' | 'fact';
  leg?: string | null;
  from: string;
  to: string;
  label: string;
  method?: string | null;
  status?: number | null;
  /** The whole message, for roles that may see it. */
  text?: string | null;
  /** What else a fact says. */
  data?: Record<string, unknown> | null;
}

export interface Message {
  id: string;
  call_id?: string | null;
  channel?: string | null;
  to?: string | null;
  text: string;
  state: string;
  vendor_id?: string | null;
  error?: string | null;
  attempts?: number | null;
  created_at: string;
  updated_at?: string | null;
  next_attempt_at?: string | null;
}

export interface ExtensionRow {
  extension: string;
  display_name?: string | null;
  registered: boolean;
  contacts: { uri: string; expires_at?: string | null; user_agent?: string | null }[];
}

export interface Integration {
  name: string;
  state: 'ok' | 'degraded' | 'not_configured';
  detail?: string | null;
  cause?: string | null;
  cure?: string | null;
  checked_at?: string | null;
  latency_ms?: number | null;
}

export interface Readiness {
  /** `degraded`: calls are taken, something is wrong. `unready`: no new calls. */
  status: 'ok' | 'degraded' | 'unready';
  version?: string | null;
  mode?: string | null;
  integrations: Integration[];
  capacity?: { calls_active?: number | null; calls_max?: number | null } | null;
  /** Where phones reach the gateway. */
  sip?: SipReach | null;
}

export interface SipReach {
  /** The user part that leads to the assistant. */
  assistant?: string | null;
  /** The address peers are told; null: this machine, by whatever name it is known. */
  host?: string | null;
  listeners: { transport: string; ip: string; port: number }[];
}

export interface Page<T> {
  items: T[];
  next_cursor?: string | null;
}

export interface TokenAnswer {
  access_token: string;
  refresh_token: string;
  token_type: string;
  expires_in: number;
  role: string;
}

export interface InitiateAnswer {
  call_id: string;
  session_id?: string;
  call_sid?: string | null;
  status: string;
  message?: string;
}

export interface ApiErrorBody {
  error: { code: string; message: string; request_id?: string; details?: unknown };
}
