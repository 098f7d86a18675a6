import { ArrowLeft, ArrowRight, PhoneForwarded, PhoneOff } from 'lucide-react';
import { type ReactNode, useMemo, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Link } from 'wouter';
import { ApiError } from '../../api/client';
import { useCall, useCallMessages } from '../../api/queries';
import type { CallDetail } from '../../api/types';
import { between, clockDuration, latency } from '../../lib/format';
import { headline } from '../../lib/headline';
import { Moment, MomentContext } from '../../lib/moment';
import { shortTarget } from '../../lib/party';
import { routes } from '../../routes';
import {
  Blank,
  Button,
  CopyText,
  Failure,
  Loading,
  SimulatedBadge,
  StatusBadge,
  Time,
  useWord,
} from '../../ui/basics';
import { useKeys, useLocale, useMayAct, useNow, useTitle } from '../../ui/hooks';
import { DirectionMark } from '../calls';
import { EndCallDialog, TransferDialog } from '../dialogs';
import { AudioPanel } from './audio';
import { LadderPanel } from './ladder';
import { LatencyPanel } from './latency';
import { MessagesOfCall } from './messages';
import { SeekContext, usePlayer } from './player';
import { TimelinePanel } from './timeline';
import { TranscriptPanel } from './transcript';
import { LegsPanel, TransfersPanel } from './transfers';
import { Remedy, Violations } from './violations';

export function CallPage({ id }: { id: string }) {
  const { t } = useTranslation();
  const query = useCall(id);
  useTitle(query.data ? query.data.caller_name || shortTarget(query.data.caller) : t('call.title'));
  return (
    <>
      <Link href={routes.calls} className="back">
        <ArrowLeft size={14} aria-hidden />
        {t('app.back_to_calls')}
      </Link>
      {query.data ? (
        <Loaded call={query.data} />
      ) : query.isPending ? (
        <div className="panel">
          <Loading lines={10} />
        </div>
      ) : query.error instanceof ApiError && query.error.status === 404 ? (
        <div className="panel">
          <Blank wholePage title={t('call.not_found.title')}>
            <p>{t('call.not_found.lead', { id })}</p>
          </Blank>
        </div>
      ) : (
        <div className="panel">
          <Failure error={query.error} retry={() => void query.refetch()} />
        </div>
      )}
    </>
  );
}

function Loaded({ call }: { call: CallDetail }) {
  const moment = useMemo(() => new Moment(), []);
  const messages = useCallMessages(call.id);
  const player = usePlayer(call, moment);
  return (
    <MomentContext value={moment}>
      <SeekContext value={player.state === 'ready' ? player.seek : null}>
        <Head call={call} />
        <Violations violations={call.violations} />
        <Remedy outcome={call.outcome} />
        <TimelinePanel call={call} player={player} />
        <div className="call-grid">
          <div className="call-column">
            <LadderPanel call={call} />
            <TransfersPanel call={call} />
            <LegsPanel call={call} />
            <AudioPanel call={call} />
          </div>
          <div className="call-column">
            <TranscriptPanel call={call} />
            <LatencyPanel call={call} />
            <MessagesOfCall query={messages} />
          </div>
        </div>
      </SeekContext>
    </MomentContext>
  );
}

function Head({ call }: { call: CallDetail }) {
  const { t, i18n } = useTranslation();
  const locale = useLocale();
  const live = call.status !== 'ended';
  const now = useNow(live);
  const [open, setOpen] = useState<'end' | 'transfer' | null>(null);
  const mayAct = useMayAct();
  const canEnd = live && mayAct;
  const canTransfer = canEnd && call.status !== 'ringing';
  useKeys({
    ...(canEnd ? { e: () => setOpen('end') } : {}),
    ...(canTransfer ? { t: () => setOpen('transfer') } : {}),
  });
  return (
    <header className="call-head">
      <div className="call-title">
        <StatusBadge status={call.status} />
        <DirectionMark row={call} />
        <SimulatedBadge row={call} />
        <bdi className="call-party">
          <Party name={call.caller_name} number={call.caller} />
        </bdi>
        {call.callee && call.callee !== call.caller && (
          <>
            <ArrowRight size={14} aria-label={t('call.to')} className="muted" />
            <bdi dir="ltr" className="muted">
              {shortTarget(call.callee)}
            </bdi>
          </>
        )}
        {canEnd && (
          <div className="end">
            {canTransfer && (
              <Button onClick={() => setOpen('transfer')}>
                <PhoneForwarded size={14} aria-hidden />
                {t('transfer.action')}
              </Button>
            )}
            <Button look="danger" onClick={() => setOpen('end')}>
              <PhoneOff size={14} aria-hidden />
              {t('calls.end')}
            </Button>
          </div>
        )}
      </div>
      <h1 className="headline">
        {headline(call, { t, locale, language: i18n.language, exists: (key) => i18n.exists(key) })}
      </h1>
      <Facts call={call} now={now} />
      {open === 'end' && canEnd && <EndCallDialog call={call} onClose={() => setOpen(null)} />}
      {open === 'transfer' && canTransfer && <TransferDialog call={call} onClose={() => setOpen(null)} />}
    </header>
  );
}

function Party({ name, number }: { name?: string | null; number: string }) {
  return (
    <>
      {name && <strong>{name} </strong>}
      <bdi dir="ltr" className={name ? 'muted' : 'strong'}>
        {shortTarget(number)}
      </bdi>
    </>
  );
}

function Facts({ call, now }: { call: CallDetail; now: number }) {
  const { t } = useTranslation();
  const locale = useLocale();
  const word = useWord();
  const first = call.latency?.first_audio_ms;
  const ours = call.latency?.ours_ms;
  return (
    <dl className="facts" aria-label={t('call.facts')}>
      <Fact name={t('call.started')}>
        <Time at={call.started_at} />
      </Fact>
      <Fact name={t('call.length')}>
        {clockDuration(between(call.answered_at ?? call.started_at, call.ended_at, now))}
      </Fact>
      {call.outcome && <Fact name={t('calls.column.outcome')}>{word('outcome', call.outcome.code)}</Fact>}
      {call.assistant && (
        <Fact name={t('call.assistant')}>
          <bdi>{call.assistant}</bdi>
        </Fact>
      )}
      {first?.p50 != null && (
        <Fact name={t('call.first_audio')}>
          <Pair {...first} locale={locale} />
        </Fact>
      )}
      {ours?.p50 != null && (
        <Fact name={t('calls.column.ours')}>
          <Pair {...ours} locale={locale} />
        </Fact>
      )}
      {call.profile && <Fact name={t('call.profile')}>{call.profile}</Fact>}
      <Fact name={t('call.id')}>
        <CopyText text={call.id} />
      </Fact>
    </dl>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Pair({ p50, p95, locale }: { p50?: number | null; p95?: number | null; locale: string }) {
  const { t } = useTranslation();
  const values = { p50: latency(p50, locale), p95: latency(p95, locale) };
  return (
    <span title={t('call.median_p95', values)}>
      {values.p50}
      {p95 != null && p95 !== p50 && <span className="muted"> · p95 {values.p95}</span>}
    </span>
  );
}
