import { AlertTriangle, Check, Copy } from 'lucide-react';
import { type ButtonHTMLAttributes, type ReactNode, useEffect, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { ApiError } from '../api/client';
import type { CallStatus } from '../api/types';
import { fullTime, timeOfDay } from '../lib/format';
import { useLocale } from './hooks';

type ButtonLook = 'primary' | 'danger' | 'danger-primary' | 'quiet' | 'plain';

interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  look?: ButtonLook;
  small?: boolean;
  /** The button shows only an icon; `aria-label` names it. */
  icon?: boolean;
}

const LOOKS: Record<ButtonLook, string> = {
  primary: 'button-primary',
  danger: 'button-danger',
  'danger-primary': 'button-danger button-primary',
  quiet: 'button-quiet',
  plain: '',
};

export function Button({ look = 'plain', small, icon, className = '', ...rest }: ButtonProps) {
  const names = ['button', LOOKS[look], small && 'button-small', icon && 'button-icon', className];
  return <button type="button" className={names.filter(Boolean).join(' ')} {...rest} />;
}

export type BadgeTone = 'accent' | 'good' | 'wait' | 'bad' | 'quiet';

export function Badge({ tone, live, children }: { tone: BadgeTone; live?: boolean; children: ReactNode }) {
  return (
    <span className="badge" data-tone={tone} data-live={live || undefined}>
      {children}
    </span>
  );
}

const STATUS_TONE: Record<CallStatus, BadgeTone> = {
  ringing: 'wait',
  assistant: 'accent',
  transferring: 'wait',
  with_agent: 'good',
  ended: 'quiet',
};

export function StatusBadge({ status }: { status: CallStatus }) {
  const word = useWord();
  return (
    <Badge tone={STATUS_TONE[status] ?? 'quiet'} live={status !== 'ended'}>
      {word('status', status)}
    </Badge>
  );
}

/** Nobody was really called. */
export function SimulatedBadge({ row }: { row: { simulated?: boolean } }) {
  const { t } = useTranslation();
  return row.simulated ? <Badge tone="quiet">{t('call.simulated')}</Badge> : null;
}

/** Words for the API's codes. A code newer than this page is shown as it is, with spaces. */
export function useWord(): (group: string, code: string | null | undefined) => string {
  const { t } = useTranslation();
  return (group, code) => (code ? t(`${group}.${code}`, { defaultValue: code.replaceAll('_', ' ') }) : '');
}

/** A local time of day with date and zone on hover. */
export function Time({ at, millis }: { at: string; millis?: boolean }) {
  const locale = useLocale();
  return (
    <time dateTime={at} title={fullTime(at, locale)}>
      {timeOfDay(at, locale, millis)}
    </time>
  );
}

/** A value that a click copies. */
export function CopyText({ text, shown }: { text: string; shown?: string }) {
  const { t } = useTranslation();
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 1500);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = () => {
    navigator.clipboard?.writeText(text).then(
      () => setCopied(true),
      () => undefined,
    );
  };
  return (
    <button
      type="button"
      className="copy"
      title={text}
      onClick={copy}
      aria-label={`${t('app.copy')}: ${text}`}
    >
      <span dir="ltr">{shown ?? text}</span>
      {copied ? <Check size={12} aria-hidden /> : <Copy size={12} aria-hidden />}
      <span role="status" className="visually-hidden">
        {copied ? t('app.copied') : ''}
      </span>
    </button>
  );
}

export function Note({ children }: { children: ReactNode }) {
  return (
    <div className="note" role="alert">
      <AlertTriangle size={16} aria-hidden />
      <div>{children}</div>
    </div>
  );
}

interface BlankProps {
  icon?: ReactNode;
  title: string;
  /** The blank is all there is: its title is the page's heading. */
  wholePage?: boolean;
  children?: ReactNode;
  actions?: ReactNode;
}

/** A place where content would be: says why there is none and what to do. */
export function Blank({ icon, title, wholePage, children, actions }: BlankProps) {
  const Heading = wholePage ? 'h1' : 'h2';
  return (
    <div className="blank">
      {icon}
      <Heading>{title}</Heading>
      {children}
      {actions && <div className="blank-actions">{actions}</div>}
    </div>
  );
}

/** What went wrong, in words for people, with the API's own message and request id beneath. */
export function Failure({ error, retry }: { error: unknown; retry?: () => void }) {
  const { t } = useTranslation();
  const known = error instanceof ApiError ? error : null;
  const kind = known?.isOffline ? 'offline' : known?.status === 403 ? 'forbidden' : null;
  return (
    <div role="alert">
      <Blank
        icon={<AlertTriangle size={24} aria-hidden />}
        title={kind ? t(`error.${kind}_title`) : t('error.title')}
        actions={
          retry &&
          kind !== 'forbidden' && (
            <Button onClick={retry} small>
              {t('app.retry')}
            </Button>
          )
        }
      >
        <p>{kind ? t(`error.${kind}`) : known ? known.message : String(error)}</p>
        {known?.requestId && (
          <p className="small">
            {t('error.request_id')} <CopyText text={known.requestId} />
          </p>
        )}
      </Blank>
    </div>
  );
}

/** The words for a refused action, shown beside the button that asked for it. */
export function useActionError(): (error: unknown) => string {
  const { t } = useTranslation();
  return (error) => {
    if (!(error instanceof ApiError)) return String(error);
    if (error.isOffline) return t('error.offline_title');
    if (error.status === 403) return t('error.forbidden_action');
    if (error.status === 429) return t('error.throttled');
    if (error.status === 409 && error.code.includes('ended')) return t('error.gone_action');
    return error.message;
  };
}

const WIDTHS = ['92%', '78%', '86%', '64%', '72%', '88%'];

export function Loading({ lines = 4 }: { lines?: number }) {
  const { t } = useTranslation();
  return (
    <div className="panel-body" role="status" aria-label={t('app.loading')}>
      {Array.from({ length: lines }, (_, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the lines are alike and never move
        <span key={i} className="skeleton" style={{ width: WIDTHS[i % WIDTHS.length], marginBlock: 12 }} />
      ))}
    </div>
  );
}
