import { Scissors } from 'lucide-react';
import { useContext } from 'react';
import { useTranslation } from 'react-i18next';
import type { CallDetail, Turn } from '../../api/types';
import { clockDuration, fullTime } from '../../lib/format';
import { MomentContext, useMoment } from '../../lib/moment';
import { useLocale } from '../../ui/hooks';
import { SeekContext } from './player';

export function TranscriptPanel({ call }: { call: CallDetail }) {
  const { t } = useTranslation();
  const current = useMoment((moment) => turnAt(call.turns, moment.at)?.id ?? null);
  return (
    <section className="panel" aria-labelledby="transcript-title">
      <div className="panel-head">
        <h2 id="transcript-title">{t('transcript.title')}</h2>
      </div>
      {call.turns.length === 0 ? (
        <p className="panel-body muted">
          {t(call.status === 'ended' ? 'transcript.empty_ended' : 'transcript.empty')}
        </p>
      ) : (
        <ol className="transcript">
          {call.turns.map((turn) => (
            <Bubble key={turn.id} turn={turn} call={call} current={turn.id === current} />
          ))}
        </ol>
      )}
    </section>
  );
}

function turnAt(turns: Turn[], at: number | null): Turn | undefined {
  if (at === null) return undefined;
  return turns.findLast(
    (turn) => Date.parse(turn.started_at) <= at && (!turn.ended_at || at <= Date.parse(turn.ended_at)),
  );
}

function Bubble({ turn, call, current }: { turn: Turn; call: CallDetail; current: boolean }) {
  const { t } = useTranslation();
  const locale = useLocale();
  const moment = useContext(MomentContext);
  const seek = useContext(SeekContext);
  const start = Date.parse(turn.started_at);
  const offset = clockDuration(start - Date.parse(call.started_at));
  const name =
    turn.speaker === 'assistant' && call.assistant ? call.assistant : t(`transcript.${turn.speaker}`);
  return (
    <li
      className="bubble"
      data-speaker={turn.speaker}
      data-current={current || undefined}
      onPointerEnter={() => moment.hover(start)}
      onPointerLeave={() => moment.hover(null)}
    >
      <div className="bubble-meta">
        <span className="bubble-speaker">{name}</span>
        {seek ? (
          <button
            type="button"
            className="bubble-time"
            title={fullTime(turn.started_at, locale)}
            aria-label={`${t('transcript.seek')}: ${offset}`}
            onClick={() => seek(start)}
          >
            {offset}
          </button>
        ) : (
          <time dateTime={turn.started_at} title={fullTime(turn.started_at, locale)}>
            {offset}
          </time>
        )}
      </div>
      <p dir="auto">
        {turn.text}
        {turn.interrupted && (
          <span className="bubble-cut" title={t('transcript.interrupted')}>
            <Scissors size={12} aria-hidden />
            {t('transcript.interrupted')}
          </span>
        )}
      </p>
    </li>
  );
}
