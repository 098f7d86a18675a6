import { AlertOctagon, Wrench } from 'lucide-react';
import { useTranslation } from 'react-i18next';
import type { Outcome, Violation } from '../../api/types';
import { Time } from '../../ui/basics';

/** What the judge found: cause and cure come worded from its catalogue. */
export function Violations({ violations }: { violations: Violation[] }) {
  const { t } = useTranslation();
  if (violations.length === 0) return null;
  return (
    <section className="violations" aria-labelledby="violations-title">
      <h2 id="violations-title">
        <AlertOctagon size={16} aria-hidden />
        {t('violations.title', { count: violations.length })}
      </h2>
      <ul>
        {violations.map((violation) => (
          <li key={`${violation.code} ${violation.at} ${violation.detail}`}>
            <div className="violation-head">
              <code>{violation.code}</code>
              {violation.at && <Time at={violation.at} millis />}
            </div>
            {violation.detail && <p className="violation-detail">{violation.detail}</p>}
            <dl>
              {violation.cause && (
                <div>
                  <dt>{t('violations.cause')}</dt>
                  <dd>{violation.cause}</dd>
                </div>
              )}
              {violation.cure && (
                <div>
                  <dt>{t('violations.cure')}</dt>
                  <dd>{violation.cure}</dd>
                </div>
              )}
            </dl>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** What an operator can do so that the next call ends better. Worded here by the outcome's code. */
export function Remedy({ outcome }: { outcome?: Outcome | null }) {
  const { t, i18n } = useTranslation();
  if (!outcome) return null;
  const key = `remedy.${outcome.code}`;
  const text = i18n.exists(key) ? t(key) : outcome.remedy;
  if (!text) return null;
  return (
    <p className="remedy">
      <Wrench size={14} aria-hidden />
      <span>
        <strong>{t('remedy.title')}: </strong>
        {text}
      </span>
    </p>
  );
}
