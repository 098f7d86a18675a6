import { useTranslation } from 'react-i18next';
import type { CallDetail } from '../../api/types';
import { latency } from '../../lib/format';
import { type LatencyPart, latencyParts } from '../../lib/timeline';
import { useLocale } from '../../ui/hooks';

export function LatencyPanel({ call }: { call: CallDetail }) {
  const { t } = useTranslation();
  const locale = useLocale();
  const measured = call.turns.flatMap((turn) => {
    const parts = turn.latency ? latencyParts(turn.latency) : [];
    const sum = parts.reduce((total, part) => total + part.ms, 0);
    const total = turn.latency?.first_audio_ms ?? sum;
    return parts.length > 0 ? [{ turn, parts, total }] : [];
  });
  if (measured.length === 0) return null;
  const longest = Math.max(...measured.map((one) => one.total));
  const used = new Set(measured.flatMap((one) => one.parts.map((part) => part.key)));
  return (
    <section className="panel" aria-labelledby="latency-title">
      <div className="panel-head">
        <h2 id="latency-title">{t('latency.title')}</h2>
      </div>
      <div className="panel-body latency">
        <p className="muted small">{t('latency.lead')}</p>
        <ol>
          {measured.map(({ turn, parts, total }) => (
            <li key={turn.id}>
              <span className="visually-hidden">{words(turn.n, parts, total)}</span>
              <span className="latency-turn muted" aria-hidden>
                {turn.n}
              </span>
              <span className="latency-bar" aria-hidden>
                {parts.map((part) => (
                  <span
                    key={part.key}
                    data-part={part.key}
                    title={`${t(`latency.${part.key}`)}: ${latency(part.ms, locale)}`}
                    style={{ width: `${(part.ms / longest) * 100}%` }}
                  />
                ))}
              </span>
              <span className="latency-total" aria-hidden>
                {latency(total, locale)}
              </span>
            </li>
          ))}
        </ol>
        <ul className="legend" aria-label={t('latency.legend')}>
          {(['endpoint', 'transcribe', 'think', 'tool', 'synthesize', 'ours'] as const)
            .filter((key) => used.has(key))
            .map((key) => (
              <li key={key}>
                <span data-part={key} aria-hidden />
                {t(`latency.${key}`)}
              </li>
            ))}
        </ul>
      </div>
    </section>
  );

  function words(n: number, parts: LatencyPart[], total: number): string {
    const list = parts.map((part) => `${t(`latency.${part.key}`)} ${latency(part.ms, locale)}`).join(', ');
    return t('latency.summary', { n, total: latency(total, locale), parts: list });
  }
}
