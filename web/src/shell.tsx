import { Activity, Headset, Languages, LogOut, MessageSquareText, Moon, PhoneCall } from 'lucide-react';
import { type ReactNode, useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react';
import { useTranslation } from 'react-i18next';
import { Link, useLocation } from 'wouter';
import { auth } from './api/client';
import { LiveLink } from './api/live';
import { applyServerEvent, queryClient, refreshAll, useLiveCount, useMessages } from './api/queries';
import { changeLanguage, LANGUAGES, type LanguageCode } from './i18n';
import { timeOfDay } from './lib/format';
import { routes } from './routes';
import { Button, useWord } from './ui/basics';
import { useLocale } from './ui/hooks';
import { setTheme, type Theme, theme } from './ui/theme';

export function Shell({ children }: { children: ReactNode }) {
  const { t } = useTranslation();
  const link = useLiveLink();
  const main = useRef<HTMLElement>(null);
  useFocusOnNavigation(main);
  return (
    <div className="shell">
      <a className="skip button" href="#main">
        {t('app.skip')}
      </a>
      <Side link={link} />
      <div className="main">
        <OfflineBar link={link} />
        <main id="main" ref={main} tabIndex={-1} className="page">
          {children}
        </main>
      </div>
    </div>
  );
}

function useLiveLink(): LiveLink {
  const link = useMemo(() => new LiveLink(applyServerEvent, refreshAll), []);
  useEffect(() => {
    link.start();
    return () => link.stop();
  }, [link]);
  return link;
}

/** A new page is announced and read from its top; the first page keeps the browser's own focus. */
function useFocusOnNavigation(main: React.RefObject<HTMLElement | null>): void {
  const [location] = useLocation();
  const first = useRef(true);
  // biome-ignore lint/correctness/useExhaustiveDependencies: runs when the address changes
  useEffect(() => {
    if (first.current) {
      first.current = false;
      return;
    }
    scrollTo(0, 0);
    main.current?.focus({ preventScroll: true });
  }, [location]);
}

function Side({ link }: { link: LiveLink }) {
  const { t } = useTranslation();
  return (
    <header className="side">
      <Link href={routes.calls} className="brand">
        <img src="/favicon.svg" width="24" height="24" alt="" />
        {t('app.name')}
      </Link>
      <Navigation />
      <div className="side-foot">
        <LinkBadge link={link} />
        <LanguageSelect />
        <ThemeSelect />
        <Who />
      </div>
    </header>
  );
}

function Navigation() {
  const { t } = useTranslation();
  const [location] = useLocation();
  const live = useLiveCount();
  // Asking for what the role may not read would only fill the browser's log.
  const messages = useMessages(auth.get()?.role !== 'viewer');
  const failed = (messages.data?.pages ?? [])
    .flatMap((page) => page.items)
    .filter((message) => message.state === 'failed').length;
  const entries = [
    {
      href: routes.calls,
      icon: <PhoneCall size={16} aria-hidden />,
      text: t('nav.calls'),
      count: live,
      tone: 'live',
      active: location === routes.calls || location.startsWith('/console/calls'),
    },
    {
      href: routes.messages,
      icon: <MessageSquareText size={16} aria-hidden />,
      text: t('nav.messages'),
      count: failed,
      tone: 'bad',
      active: location === routes.messages,
    },
    {
      href: routes.extensions,
      icon: <Headset size={16} aria-hidden />,
      text: t('nav.extensions'),
      count: 0,
      tone: '',
      active: location === routes.extensions,
    },
    {
      href: routes.health,
      icon: <Activity size={16} aria-hidden />,
      text: t('nav.health'),
      count: 0,
      tone: '',
      active: location === routes.health,
    },
  ];
  return (
    <nav className="nav" aria-label={t('app.nav')}>
      {entries.map((entry) => (
        <Link key={entry.href} href={entry.href} aria-current={entry.active ? 'page' : undefined}>
          {entry.icon}
          {entry.text}
          {entry.count > 0 && (
            <span className="nav-count" data-tone={entry.tone}>
              {entry.count}
            </span>
          )}
        </Link>
      ))}
    </nav>
  );
}

function LinkBadge({ link }: { link: LiveLink }) {
  const { t } = useTranslation();
  const { state } = useSyncExternalStore(link.subscribe, link.get);
  return (
    <span
      className="link-state"
      data-state={state}
      title={state === 'live' ? t('link.live_hint') : undefined}
    >
      {t(`link.${state}`)}
    </span>
  );
}

function OfflineBar({ link }: { link: LiveLink }) {
  const { t } = useTranslation();
  const locale = useLocale();
  const state = useSyncExternalStore(link.subscribe, link.get);
  const offline = state.state === 'offline';
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (!offline) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, [offline]);
  return (
    <div role="status">
      {state.state === 'offline' && (
        <div className="offline-bar">
          <span>{t('link.offline_banner', { since: timeOfDay(state.since, locale) })}</span>
          <span className="small" aria-hidden>
            {t('link.retry_in', { seconds: Math.max(0, Math.ceil((state.retryAt - now) / 1000)) })}
          </span>
          <Button small onClick={link.retryNow}>
            {t('link.retry_now')}
          </Button>
        </div>
      )}
    </div>
  );
}

export function LanguageSelect() {
  const { t, i18n } = useTranslation();
  return (
    <label className="setting">
      <Languages size={16} aria-hidden />
      <span className="visually-hidden">{t('settings.language')}</span>
      <select
        className="select"
        value={i18n.language}
        onChange={(event) => void changeLanguage(event.target.value as LanguageCode)}
      >
        {Object.entries(LANGUAGES).map(([code, name]) => (
          <option key={code} value={code} lang={code}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

function ThemeSelect() {
  const { t } = useTranslation();
  const current = useSyncExternalStore(theme.subscribe, theme.get);
  return (
    <label className="setting">
      <Moon size={16} aria-hidden />
      <span className="visually-hidden">{t('settings.theme')}</span>
      <select className="select" value={current} onChange={(event) => setTheme(event.target.value as Theme)}>
        <option value="system">{t('settings.theme_system')}</option>
        <option value="light">{t('settings.theme_light')}</option>
        <option value="dark">{t('settings.theme_dark')}</option>
      </select>
    </label>
  );
}

function Who() {
  const { t } = useTranslation();
  const word = useWord();
  const held = useSyncExternalStore(auth.subscribe, auth.get);
  const signOut = () => {
    auth.signOut();
    queryClient.clear();
  };
  return (
    <div className="who">
      <div title={t('settings.signed_in_as', { name: held?.username })}>
        <strong>{held?.username}</strong>
        <span className="muted small">{word('role', held?.role)}</span>
      </div>
      <Button
        look="quiet"
        icon
        small
        aria-label={t('settings.sign_out')}
        title={t('settings.sign_out')}
        onClick={signOut}
      >
        <LogOut size={16} aria-hidden />
      </Button>
    </div>
  );
}
