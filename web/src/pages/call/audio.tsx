import { useTranslation } from 'react-i18next';
import type { AudioAlarm, CallDetail, Leg, LegMedia } from '../../api/types';
import { decimal } from '../../lib/format';
import { shortTarget } from '../../lib/party';
import { Badge, Time, useWord } from '../../ui/basics';
import { useLocale } from '../../ui/hooks';

/** How the audio of each leg is: what we measure, and what the party reports. */
export function AudioPanel({ call }: { call: CallDetail }) {
  const { t } = useTranslation();
  const legs = call.legs.filter((leg) => leg.media?.codec);
  if (legs.length === 0) return null;
  return (
    <section className="panel" aria-labelledby="audio-title">
      <div className="panel-head">
        <h2 id="audio-title">{t('leg_audio.title')}</h2>
      </div>
      {/* A scrolling area is reached by the keyboard, too. */}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: see above */}
      <section className="table-scroll" tabIndex={0} aria-label={t('leg_audio.table')}>
        <table className="table leg-audio">
          <thead>
            <tr>
              <th scope="col">{t('leg_audio.party')}</th>
              <th scope="col">{t('leg_audio.direction')}</th>
              <th scope="col" className="number">
                {t('leg_audio.packets')}
              </th>
              <th scope="col" className="number">
                {t('leg_audio.loss')}
              </th>
              <th scope="col" className="number">
                {t('leg_audio.jitter')}
              </th>
              <th scope="col" className="number">
                {t('leg_audio.round_trip')}
              </th>
              <th scope="col" className="number">
                <abbr title={t('leg_audio.mos_title')}>MOS</abbr>
              </th>
            </tr>
          </thead>
          <tbody>
            {legs.map((leg) => leg.media && <LegAudio key={leg.id} leg={leg} media={leg.media} />)}
          </tbody>
        </table>
      </section>
    </section>
  );
}

function LegAudio({ leg, media }: { leg: Leg; media: LegMedia }) {
  const { t } = useTranslation();
  const locale = useLocale();
  const word = useWord();
  const number = (value: number | null | undefined, unit = '') =>
    value === null || value === undefined ? '–' : `${decimal(value, locale)}${unit}`;
  const far = media.far;
  return (
    <>
      <tr>
        <td rowSpan={2}>
          {word('party', leg.party)}{' '}
          {leg.target && (
            <bdi dir="ltr" className="muted">
              {shortTarget(leg.target)}
            </bdi>
          )}
          <br />
          <span className="muted small">
            <bdi dir="ltr">
              {media.codec?.toUpperCase() ?? '–'}
              {media.srtp ? ' · SRTP' : ''}
            </bdi>
          </span>
          {media.alarms?.map((alarm) => (
            <Alarm key={alarm.kind} alarm={alarm} live={!leg.ended_at} />
          ))}
        </td>
        <td>{t('leg_audio.from_party')}</td>
        <td className="number">{media.packets_received ?? '–'}</td>
        <td className="number">{number(media.loss_percent, ' %')}</td>
        <td className="number">{number(media.jitter_ms, ' ms')}</td>
        <td className="number" rowSpan={2}>
          {number(media.round_trip_ms, ' ms')}
        </td>
        <td className="number">{number(media.mos)}</td>
      </tr>
      <tr>
        <td>{t('leg_audio.to_party')}</td>
        <td className="number">{media.packets_sent ?? '–'}</td>
        <td className="number">{number(far?.loss_percent, ' %')}</td>
        <td className="number">{number(far?.jitter_ms, ' ms')}</td>
        <td className="number">{number(far?.mos)}</td>
      </tr>
    </>
  );
}

function Alarm({ alarm, live }: { alarm: AudioAlarm; live: boolean }) {
  const word = useWord();
  return (
    <div>
      <Badge tone="bad" live={live}>
        {alarm.reason ? word('audio_reason', alarm.reason) : word('audio_alarm', alarm.kind)}
      </Badge>{' '}
      <span className="muted small">
        <Time at={alarm.since} />
      </span>
    </div>
  );
}
