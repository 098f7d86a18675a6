import { RefreshCw } from 'lucide-react';
import { useTranslation } from 'react-i18next';
import { useReadiness } from '../api/queries';
import type { Integration, Readiness } from '../api/types';
import { latency, timeOfDay } from '../lib/format';
import { Badge, type BadgeTone, Button, Failure, Loading, Time, useWord } from '../ui/basics';
import { useLocale, useTitle } from '../ui/hooks';

const TONE: Record<string, BadgeTone> = {
  ok: 'good',
  degraded: 'bad',
  failed: 'bad',
  not_configured: 'quiet',
};

export function HealthPage() {
  const { t } = useTranslation();
  const locale = useLocale();
  const query = useReadiness();
  useTitle(t('health.title'));
  return (
    <>
      <div className="page-head">
        <h1>{t('health.title')}</h1>
        <span className="muted">{t('health.lead')}</span>
        <div className="end">
          <Button disabled={query.isFetching} onClick={() => void query.refetch()}>
            <RefreshCw size={14} aria-hidden />
            {query.isFetching ? t('health.checking') : t('health.again')}
          </Button>
        </div>
      </div>
      {query.data ? (
        <>
          <Summary data={query.data} checkedAt={timeOfDay(query.dataUpdatedAt, locale)} />
          <ul className="integrations">
            {query.data.integrations.map((integration) => (
              <IntegrationItem key={integration.name} integration={integration} />
            ))}
          </ul>
        </>
      ) : (
        <div className="panel">
          {query.isPending ? (
            <Loading lines={5} />
          ) : (
            <Failure error={query.error} retry={() => void query.refetch()} />
          )}
        </div>
      )}
    </>
  );
}

function Summary({ data, checkedAt }: { data: Readiness; checkedAt: string }) {
  const { t } = useTranslation();
  const wrong = data.integrations.filter(
    (one) => one.state !== 'ok' && one.state !== 'not_configured',
  ).length;
  const verdict =
    data.status === 'unready'
      ? t('health.unready')
      : wrong > 0
        ? t('health.some_degraded', { count: wrong })
        : t('health.all_ok');
  const { calls_active: active, calls_max: max } = data.capacity ?? {};
  return (
    <section
      className="panel health-summary"
      data-wrong={wrong > 0 || data.status === 'unready' || undefined}
    >
      <strong role="status">{verdict}</strong>
      <span className="muted">{t('health.checked_at', { at: checkedAt })}</span>
      {data.version && <span className="muted">{t('health.version', { version: data.version })}</span>}
      {data.mode && <span className="muted">{t('health.mode', { mode: data.mode })}</span>}
      {max != null && active != null && (
        <span className="capacity">
          <span id="capacity-label">
            {t('health.capacity')}: {t('health.capacity_of', { active, max })}
          </span>
          <meter min={0} max={max} value={active} high={max * 0.8} aria-labelledby="capacity-label" />
        </span>
      )}
    </section>
  );
}

function IntegrationItem({ integration }: { integration: Integration }) {
  const { t } = useTranslation();
  const locale = useLocale();
  const word = useWord();
  return (
    <li className="panel integration" data-state={integration.state}>
      <div className="integration-head">
        <h2>{word('integration', integration.name)}</h2>
        <Badge tone={TONE[integration.state] ?? 'wait'}>{word('health.state', integration.state)}</Badge>
      </div>
      {integration.detail && <p className="muted">{integration.detail}</p>}
      {(integration.cause || integration.cure) && (
        <dl>
          {integration.cause && (
            <div>
              <dt>{t('health.cause')}</dt>
              <dd>{integration.cause}</dd>
            </div>
          )}
          {integration.cure && (
            <div>
              <dt>{t('health.cure')}</dt>
              <dd>{integration.cure}</dd>
            </div>
          )}
        </dl>
      )}
      <p className="muted small">
        {integration.checked_at && <Time at={integration.checked_at} />}
        {integration.latency_ms != null && ` · ${latency(integration.latency_ms, locale)}`}
      </p>
    </li>
  );
}
