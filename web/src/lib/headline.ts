import type { CallDetail, DialAttempt, Message, Transfer } from '../api/types';
import { between, spokenDuration, timeOfDay } from './format';
import { shortTarget } from './party';

/** The translator of i18next, as far as it is needed here. */
export type Translate = (key: string, args?: Record<string, unknown>) => string;

interface Context {
  t: Translate;
  locale: string;
  now: number;
  /** Messages by id, as far as they are known. */
  messages?: ReadonlyMap<string, Message>;
}

/** One sentence that says what happened: clauses in the order of time, joined by semicolons. */
export function headline(call: CallDetail, context: Context): string {
  const clauses = [...beginning(call, context)];
  for (const [index, transfer] of call.transfers.entries()) {
    clauses.push(...transferClauses(call, transfer, index, context));
  }
  clauses.push(...ending(call, context));
  const text = clauses.filter((clause) => clause !== '').join('; ');
  return text.charAt(0).toLocaleUpperCase(context.locale) + text.slice(1);
}

function beginning(call: CallDetail, { t, now }: Context): string[] {
  if (call.transfers.length > 0) return [];
  if (call.status === 'ringing') {
    return [t(call.direction === 'outbound' ? 'headline.dialling' : 'headline.ringing')];
  }
  if (!call.answered_at) return call.status === 'ended' ? [t('headline.never_answered')] : [];
  const name = call.assistant ?? '';
  const context = name ? 'named' : undefined;
  const length = spokenDuration(between(call.answered_at, call.ended_at, now));
  return call.status === 'ended'
    ? [t('headline.talked_to_assistant', { context, name, length })]
    : [t('headline.talking_to_assistant', { context, name })];
}

function transferClauses(call: CallDetail, transfer: Transfer, index: number, context: Context): string[] {
  const { t, now } = context;
  const clauses: string[] = [];
  const base = call.answered_at ?? call.started_at;
  const after = spokenDuration(between(base, transfer.requested_at, now));
  const byOperator = transfer.requested_by === 'operator';
  const asked = byOperator ? 'headline.operator_transferred' : 'headline.asked_for_human';
  clauses.push(t(index === 0 ? asked : `${asked}_again`, { after }));

  for (const attempt of transfer.attempts) clauses.push(attemptClause(call, attempt, context));

  const bridged = transfer.attempts.find((attempt) => attempt.result === 'answered');
  switch (transfer.outcome) {
    case 'bridged': {
      const start = bridged?.ended_at;
      const target = shortTarget(bridged?.target ?? '');
      if (call.status === 'with_agent') clauses.push(t('headline.talking_to_agent', { target }));
      else if (start && call.ended_at) {
        clauses.push(t('headline.talked_to_agent', { target, length: spokenDuration(between(start, call.ended_at, now)) }));
      }
      break;
    }
    case null:
    case undefined:
      break;
    default:
      clauses.push(t(`headline.outcome.${transfer.outcome}`));
  }
  for (const id of transfer.notices) clauses.push(noticeClause(context.messages?.get(id), context));
  return clauses;
}

function attemptClause(call: CallDetail, attempt: DialAttempt, { t, now }: Context): string {
  const target = shortTarget(attempt.target);
  const rang = spokenDuration(between(attempt.started_at, attempt.ended_at, now));
  if (!attempt.result) {
    return call.status === 'ended' ? '' : t('headline.attempt.ringing', { target, length: rang });
  }
  if (attempt.result === 'failed') {
    const context = attempt.sip_status ? 'status' : undefined;
    return t('headline.attempt.failed', { context, target, status: attempt.sip_status });
  }
  return t(`headline.attempt.${attempt.result}`, { target, length: rang });
}

function noticeClause(message: Message | undefined, { t, locale }: Context): string {
  if (!message) return '';
  if (message.state === 'accepted' || message.state === 'delivered') {
    return t('headline.notice.accepted', { at: timeOfDay(message.updated_at ?? message.created_at, locale) });
  }
  return t(message.state === 'failed' ? 'headline.notice.failed' : 'headline.notice.pending');
}

function ending(call: CallDetail, { t }: Context): string[] {
  if (call.status !== 'ended') return [];
  const by = call.outcome?.ended_by;
  const last = call.transfers.at(-1)?.outcome;
  // "The caller hung up while it rang" has said it already.
  if (!by || last === 'caller_gone') return [];
  return [t(`headline.ended_by.${by}`)];
}
