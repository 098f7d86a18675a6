import { useTranslation } from 'react-i18next';
import type { AttemptResult, CallDetail, DialAttempt, Leg, Transfer, TransferOutcome } from '../../api/types';
import { between, clockDuration, latency, spokenDuration } from '../../lib/format';
import { shortTarget } from '../../lib/party';
import { Badge, type BadgeTone, Time, useWord } from '../../ui/basics';
import { useLocale, useNow } from '../../ui/hooks';

const RESULT_TONE: Record<AttemptResult, BadgeTone> = {
  answered: 'good',
  no_answer: 'wait',
  busy: 'wait',
  failed: 'bad',
  canceled: 'quiet',
  handed_over: 'accent',
};

const OUTCOME_TONE: Record<TransferOutcome, BadgeTone> = {
  bridged: 'good',
  handed_over: 'accent',
  returned_to_transferor: 'wait',
  returned_to_assistant: 'accent',
  message_taken: 'accent',
  notified: 'accent',
  callback_scheduled: 'accent',
  declined: 'quiet',
  caller_gone: 'wait',
  failed: 'bad',
};

export function TransfersPanel({ call }: { call: CallDetail }) {
  const { t } = useTranslation();
  return (
    <section className="panel" aria-labelledby="transfers-title">
      <div className="panel-head">
        <h2 id="transfers-title">{t('transfers.title')}</h2>
      </div>
      {call.transfers.length === 0 ? (
        <p className="panel-body muted">{t('transfers.none')}</p>
      ) : (
        <ol className="transfers">
          {call.transfers.map((transfer) => (
            <TransferItem key={transfer.id} transfer={transfer} />
          ))}
        </ol>
      )}
    </section>
  );
}

function TransferItem({ transfer }: { transfer: Transfer }) {
  const { t } = useTranslation();
  const word = useWord();
  const reason =
    transfer.reason && transfer.reason !== 'operator' && transfer.reason !== 'refer' ? transfer.reason : '';
  return (
    <li className="transfer">
      <div className="transfer-head">
        <Time at={transfer.requested_at} />
        <strong>{word('requested_by', transfer.requested_by ?? 'assistant')}</strong>
        {transfer.department && (
          <span className="muted">{t('transfers.department', { name: transfer.department })}</span>
        )}
        {transfer.closed && <span className="muted">{t('transfers.closed')}</span>}
        <span className="end">
          {transfer.outcome ? (
            <Badge tone={OUTCOME_TONE[transfer.outcome] ?? 'quiet'}>
              {word('transfer_outcome', transfer.outcome)}
            </Badge>
          ) : (
            <Badge tone="wait" live>
              {t('transfers.running')}
            </Badge>
          )}
        </span>
      </div>
      {(reason || transfer.summary) && (
        <dl className="transfer-words">
          {reason && (
            <div>
              <dt>{t('transfers.reason')}</dt>
              <dd dir="auto">{reason}</dd>
            </div>
          )}
          {transfer.summary && (
            <div>
              <dt>{t('transfers.summary')}</dt>
              <dd dir="auto">{transfer.summary}</dd>
            </div>
          )}
        </dl>
      )}
      {transfer.attempts.length > 0 && (
        <ul className="attempts" aria-label={t('transfers.attempts')}>
          {transfer.attempts.map((attempt) => (
            <Attempt key={attempt.id ?? attempt.started_at} attempt={attempt} />
          ))}
        </ul>
      )}
    </li>
  );
}

function Attempt({ attempt }: { attempt: DialAttempt }) {
  const { t } = useTranslation();
  const locale = useLocale();
  const now = useNow(!attempt.result);
  const word = useWord();
  const explained = attempt.explanation?.code.replace(/^dial\./, '');
  const result = attempt.result ?? 'ringing';
  const rang = between(attempt.started_at, attempt.ended_at, now);
  const share = Math.min(1, rang / (attempt.ring_timeout_s * 1000));
  return (
    <li className="attempt" data-result={result}>
      <bdi dir="ltr" className="attempt-target">
        {shortTarget(attempt.target)}
      </bdi>
      <span className="attempt-bar" aria-hidden>
        <span style={{ width: `${share * 100}%` }} />
      </span>
      <span className="attempt-rang muted">
        {t('transfers.of', {
          rang: rang < 1000 ? latency(rang, locale) : spokenDuration(rang),
          timeout: spokenDuration(attempt.ring_timeout_s * 1000),
        })}
      </span>
      <span className="attempt-result">
        {attempt.sip_status && (
          <span className="muted small" title={explained && word('explanation', explained)}>
            {t('transfers.sip_status', { status: attempt.sip_status })}
          </span>
        )}
        <Badge tone={attempt.result ? RESULT_TONE[attempt.result] : 'wait'} live={!attempt.result}>
          {t(`transfers.result_of.${result}`)}
        </Badge>
      </span>
    </li>
  );
}

export function LegsPanel({ call }: { call: CallDetail }) {
  const { t } = useTranslation();
  return (
    <section className="panel" aria-labelledby="legs-title">
      <div className="panel-head">
        <h2 id="legs-title">{t('legs.title')}</h2>
      </div>
      {call.legs.length === 0 ? (
        <p className="panel-body muted">{t('legs.none')}</p>
      ) : (
        // A scrolling area is reached by the keyboard, too.
        // biome-ignore lint/a11y/noNoninteractiveTabindex: see above
        <section className="table-scroll" tabIndex={0} aria-label={t('legs.table')}>
          <table className="table">
            <thead>
              <tr>
                <th scope="col">{t('legs.party')}</th>
                <th scope="col">{t('legs.state')}</th>
                <th scope="col" className="number">
                  {t('legs.started')}
                </th>
                <th scope="col" className="number">
                  {t('legs.rang')}
                </th>
                <th scope="col" className="number">
                  {t('legs.talked')}
                </th>
              </tr>
            </thead>
            <tbody>
              {call.legs.map((leg) => (
                <LegRow key={leg.id} leg={leg} />
              ))}
            </tbody>
          </table>
        </section>
      )}
    </section>
  );
}

function LegRow({ leg }: { leg: Leg }) {
  const { t } = useTranslation();
  const word = useWord();
  const now = useNow(!leg.ended_at);
  const tone: BadgeTone = leg.ended_at ? 'quiet' : leg.answered_at ? 'good' : 'wait';
  return (
    <tr>
      <td>
        {word('party', leg.party)}{' '}
        {leg.target && (
          <bdi dir="ltr" className="muted">
            {shortTarget(leg.target)}
          </bdi>
        )}
      </td>
      <td>
        <Badge tone={tone} live={!leg.ended_at}>
          {word('leg_state', leg.state)}
        </Badge>
        {leg.held_by_party_since && (
          <span className="muted small leg-cause">
            {t('legs.held_by_party')} <Time at={leg.held_by_party_since} />
          </span>
        )}
        {leg.held_by_operator_since && (
          <span className="muted small leg-cause">
            {t('legs.held_by_operator')} <Time at={leg.held_by_operator_since} />
          </span>
        )}
        {leg.cause && (
          <span className="muted small leg-cause">
            {word('cause', leg.cause)}
            {leg.sip_status ? ` (${leg.sip_status})` : ''}
          </span>
        )}
      </td>
      <td className="number muted">
        <Time at={leg.started_at} />
      </td>
      <td className="number">
        {clockDuration(between(leg.started_at, leg.answered_at ?? leg.ended_at, now))}
      </td>
      <td className="number">
        {leg.answered_at ? clockDuration(between(leg.answered_at, leg.ended_at, now)) : '–'}
      </td>
    </tr>
  );
}
