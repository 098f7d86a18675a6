import { Download, Pause, Play } from 'lucide-react';
import { type PointerEvent, useContext, useMemo, useRef } from 'react';
import { useTranslation } from 'react-i18next';
import { useCallEvents } from '../../api/queries';
import type { CallDetail, Leg, Turn } from '../../api/types';
import { clockDuration } from '../../lib/format';
import { tone } from '../../lib/ladder';
import { MomentContext, useMoment } from '../../lib/moment';
import { shortTarget } from '../../lib/party';
import { type Scale, scale, ticks } from '../../lib/timeline';
import { Button } from '../../ui/basics';
import { useNow } from '../../ui/hooks';
import { type Player, SPEEDS } from './player';

const percent = (fraction: number): string => `${(fraction * 100).toFixed(3)}%`;

/** One time axis: who spoke, the recording's loudness, whom we rang, and when messages passed. */
export function TimelinePanel({ call, player }: { call: CallDetail; player: Player }) {
  const { t } = useTranslation();
  const moment = useContext(MomentContext);
  const live = call.status !== 'ended';
  const now = useNow(live);
  const start = Date.parse(call.started_at);
  const end = call.ended_at ? Date.parse(call.ended_at) : now;
  const axis = useMemo(() => scale(start, end), [start, end]);
  const tracks = useRef<HTMLDivElement>(null);

  const instant = (event: PointerEvent): number => {
    const box = tracks.current?.getBoundingClientRect();
    if (!box || box.width === 0) return axis.start;
    const rtl = document.documentElement.dir === 'rtl';
    const fraction = rtl ? (box.right - event.clientX) / box.width : (event.clientX - box.left) / box.width;
    return axis.start + Math.min(1, Math.max(0, fraction)) * (axis.end - axis.start);
  };

  const humans = useMemo(() => byTarget(call.legs), [call.legs]);
  return (
    <section className="panel" aria-labelledby="timeline-title">
      <div className="panel-head">
        <h2 id="timeline-title">{t('timeline.title')}</h2>
        <PlayerControls call={call} player={player} axis={axis} />
      </div>
      <div className="timeline">
        <div className="timeline-labels" aria-hidden>
          <span className="track-axis" />
          <span className="track-voice">{t('timeline.caller')}</span>
          <span className="track-voice">{t('timeline.ours')}</span>
          {humans.map(([target]) => (
            <span key={target} className="track-leg">
              <bdi dir="ltr">{target}</bdi>
            </span>
          ))}
          <span className="track-wire">{t('timeline.wire')}</span>
        </div>
        <div
          ref={tracks}
          className="timeline-tracks"
          data-seekable={player.state === 'ready' || undefined}
          onPointerMove={(event) => moment.hover(instant(event))}
          onPointerLeave={() => moment.hover(null)}
          onPointerDown={(event) => player.state === 'ready' && player.seek(instant(event))}
        >
          <AxisTicks axis={axis} />
          <Voice call={call} axis={axis} player={player} channel={0} speakers={['caller']} />
          <Voice
            call={call}
            axis={axis}
            player={player}
            channel={1}
            speakers={['assistant', 'agent', 'system']}
          />
          {humans.map(([target, legs]) => (
            <div key={target} className="track track-leg">
              {legs.map((leg) => (
                <LegBar key={leg.id} leg={leg} axis={axis} now={now} />
              ))}
            </div>
          ))}
          <WireTicks call={call} axis={axis} />
          <Cursor axis={axis} />
        </div>
      </div>
    </section>
  );
}

function byTarget(legs: Leg[]): [string, Leg[]][] {
  const found = new Map<string, Leg[]>();
  for (const leg of legs) {
    if (leg.party !== 'agent') continue;
    const target = shortTarget(leg.target ?? '');
    found.set(target, [...(found.get(target) ?? []), leg]);
  }
  return [...found];
}

function AxisTicks({ axis }: { axis: Scale }) {
  const length = axis.end - axis.start;
  return (
    <div className="track track-axis" aria-hidden>
      {/* A mark near the end would have its time cut off. */}
      {ticks(length, 8)
        .filter((at) => at / length < 0.93)
        .map((at) => (
          <span key={at} className="tick" style={{ insetInlineStart: percent(at / length) }}>
            {clockDuration(at)}
          </span>
        ))}
    </div>
  );
}

interface VoiceProps {
  call: CallDetail;
  axis: Scale;
  player: Player;
  channel: 0 | 1;
  speakers: Turn['speaker'][];
}

function Voice({ call, axis, player, channel, speakers }: VoiceProps) {
  const loud = player.channels?.[channel];
  const from = axis.at(player.startsAt);
  const to = axis.at(player.startsAt + player.durationMs);
  return (
    <div className="track track-voice" data-channel={channel}>
      {call.turns
        .filter((turn) => speakers.includes(turn.speaker))
        .map((turn) => {
          const start = axis.at(Date.parse(turn.started_at));
          const end = turn.ended_at ? axis.at(Date.parse(turn.ended_at)) : 1;
          return (
            <span
              key={turn.id}
              className="turn-bar"
              data-speaker={turn.speaker}
              title={turn.text}
              style={{ insetInlineStart: percent(start), width: percent(Math.max(0, end - start)) }}
            />
          );
        })}
      {loud && (
        <svg
          className="wave"
          viewBox={`0 0 ${loud.length} 2`}
          preserveAspectRatio="none"
          style={{ insetInlineStart: percent(from), width: percent(to - from) }}
          aria-hidden="true"
        >
          <path d={wavePath(loud)} />
        </svg>
      )}
    </div>
  );
}

/** A shape mirrored at the middle line. Quiet speech is lifted a little, so that it can be seen. */
function wavePath(loud: Float32Array): string {
  const height = (value: number) => Math.max(0.03, value ** 0.7) * 0.92;
  let up = '';
  let down = '';
  for (let i = 0; i < loud.length; i++) {
    const value = height(loud[i] ?? 0);
    up += `${i === 0 ? 'M' : 'L'}${i} ${(1 - value).toFixed(3)}`;
    down = `L${i} ${(1 + value).toFixed(3)}${down}`;
  }
  return `${up}${down}Z`;
}

function LegBar({ leg, axis, now }: { leg: Leg; axis: Scale; now: number }) {
  const { t } = useTranslation();
  const start = axis.at(Date.parse(leg.started_at));
  const end = axis.at(leg.ended_at ? Date.parse(leg.ended_at) : now);
  const answered = leg.answered_at ? axis.at(Date.parse(leg.answered_at)) : end;
  const bar = (state: 'ringing' | 'talking', from: number, to: number) =>
    to > from && (
      <span
        className="leg-bar"
        data-state={state}
        title={t(`timeline.${state}`)}
        style={{ insetInlineStart: percent(from), width: percent(to - from) }}
      />
    );
  return (
    <>
      {bar('ringing', start, answered)}
      {leg.answered_at && bar('talking', answered, end)}
    </>
  );
}

function WireTicks({ call, axis }: { call: CallDetail; axis: Scale }) {
  const events = useCallEvents(call.id).data ?? [];
  return (
    <div className="track track-wire" aria-hidden>
      {events
        .filter((event) => event.kind === 'wire')
        .map((event) => (
          <span
            key={event.id}
            className="wire-tick"
            data-tone={tone(event)}
            title={event.label}
            style={{ insetInlineStart: percent(axis.at(Date.parse(event.at))) }}
          />
        ))}
    </div>
  );
}

function Cursor({ axis }: { axis: Scale }) {
  const at = useMoment((moment) => moment.at);
  const played = useMoment((moment) => moment.playedTo);
  return (
    <>
      {played !== null && (
        <span className="cursor cursor-play" style={{ insetInlineStart: percent(axis.at(played)) }} />
      )}
      {at !== null && at !== played && (
        <span className="cursor" style={{ insetInlineStart: percent(axis.at(at)) }}>
          <span>{clockDuration(at - axis.start)}</span>
        </span>
      )}
    </>
  );
}

function PlayerControls({ call, player, axis }: { call: CallDetail; player: Player; axis: Scale }) {
  const { t } = useTranslation();
  const played = useMoment((moment) => moment.playedTo);
  const position = played === null ? 0 : Math.max(0, played - player.startsAt);
  if (player.state !== 'ready' && player.state !== 'failed') {
    return <span className="end muted small">{t(`audio.${player.state}`)}</span>;
  }
  if (player.state === 'failed') {
    return (
      <span className="end player">
        <span className="player-failed small">{t('audio.failed')}</span>
        <Button small onClick={player.retry}>
          {t('app.retry')}
        </Button>
      </span>
    );
  }
  const label = t(player.playing ? 'audio.pause' : 'audio.play');
  const spoken = t('timeline.at', { at: clockDuration(player.startsAt + position - axis.start) });
  return (
    <div className="player">
      <Button icon small look="primary" aria-label={label} title={label} onClick={player.toggle}>
        {player.playing ? <Pause size={14} aria-hidden /> : <Play size={14} aria-hidden />}
      </Button>
      <input
        type="range"
        className="player-position"
        aria-label={t('timeline.position')}
        aria-valuetext={spoken}
        title={t('audio.channels')}
        min={0}
        max={Math.max(1, player.durationMs)}
        step={100}
        value={Math.min(position, player.durationMs)}
        onChange={(event) => player.seek(player.startsAt + Number(event.target.value))}
      />
      <span className="player-time muted small">
        {clockDuration(position)} / {clockDuration(player.durationMs)}
      </span>
      <select
        className="select player-speed"
        aria-label={t('audio.speed')}
        value={player.speed}
        onChange={(event) => player.setSpeed(Number(event.target.value))}
      >
        {SPEEDS.map((speed) => (
          <option key={speed} value={speed}>
            {speed}×
          </option>
        ))}
      </select>
      {player.url && (
        <a
          className="button button-quiet button-small button-icon"
          href={player.url}
          download={`${call.id}.wav`}
          aria-label={t('audio.download')}
          title={t('audio.download')}
        >
          <Download size={14} aria-hidden />
        </a>
      )}
    </div>
  );
}
