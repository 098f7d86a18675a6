import {
  AlertOctagon,
  Phone,
  PhoneCall,
  PhoneIncoming,
  PhoneOff,
  PhoneOutgoing,
  Search,
  SlidersHorizontal,
} from 'lucide-react';
import { type KeyboardEvent, type ReactNode, useEffect, useRef, useState } from 'react';
import { Trans, useTranslation } from 'react-i18next';
import { Link, useLocation, useSearch } from 'wouter';
import { useCalls, useExtensions, useReadiness } from '../api/queries';
import type { CallRow } from '../api/types';
import {
  type CallFilters,
  DIRECTIONS,
  filtersFromSearch,
  filtersToSearch,
  isFiltered,
  NO_FILTERS,
  STATUSES,
} from '../lib/filters';
import { between, clockDuration, dayHeading, latency, localDay } from '../lib/format';
import { shortTarget } from '../lib/party';
import { assistantUri } from '../lib/sip';
import { routes } from '../routes';
import {
  type BadgeTone,
  Blank,
  Button,
  Failure,
  Loading,
  SimulatedBadge,
  StatusBadge,
  Time,
  useWord,
} from '../ui/basics';
import { useKeys, useLocale, useMayAct, useNow, useTitle } from '../ui/hooks';
import { EndCallDialog, StartCallDialog } from './dialogs';

const isLive = (row: CallRow) => row.status !== 'ended';

export function CallsPage() {
  const { t } = useTranslation();
  const [, navigate] = useLocation();
  const filters = filtersFromSearch(useSearch());
  const calls = useCalls(filters);
  const rows = calls.data?.pages.flatMap((page) => page.items) ?? [];
  const mayAct = useMayAct();
  const [starting, setStarting] = useState(false);
  const [ending, setEnding] = useState<CallRow | null>(null);
  const search = useRef<HTMLInputElement>(null);
  const live = rows.filter(isLive).length;
  useTitle(live > 0 ? `(${live}) ${t('calls.title')}` : t('calls.title'));

  const setFilters = (next: CallFilters) => {
    const query = filtersToSearch(next);
    navigate(query ? `${routes.calls}?${query}` : routes.calls, { replace: true });
  };
  useKeys({
    ...(mayAct ? { n: () => setStarting(true) } : {}),
    '/': () => search.current?.focus(),
  });

  return (
    <>
      <div className="page-head">
        <h1>{t('calls.title')}</h1>
        <span className="muted" role="status">
          {calls.isSuccess && (live > 0 ? t('calls.live_count', { count: live }) : t('calls.no_live'))}
        </span>
        {mayAct && (
          <div className="end">
            <Button look="primary" onClick={() => setStarting(true)}>
              <Phone size={14} aria-hidden />
              {t('calls.start')}
            </Button>
          </div>
        )}
      </div>
      {(rows.length > 0 || isFiltered(filters)) && (
        <FilterBar filters={filters} onChange={setFilters} search={search} />
      )}
      <section className="panel" aria-label={t('calls.list')}>
        {calls.isPending ? (
          <Loading lines={8} />
        ) : calls.isError && rows.length === 0 ? (
          <Failure error={calls.error} retry={() => void calls.refetch()} />
        ) : rows.length === 0 ? (
          <NoCalls
            filtered={isFiltered(filters)}
            onStart={() => setStarting(true)}
            onClear={() => setFilters(NO_FILTERS)}
          />
        ) : (
          <CallTable rows={rows} onEnd={mayAct ? setEnding : undefined} />
        )}
      </section>
      {calls.hasNextPage && (
        <div className="more">
          <Button disabled={calls.isFetchingNextPage} onClick={() => void calls.fetchNextPage()}>
            {calls.isFetchingNextPage ? t('app.loading_more') : t('app.more')}
          </Button>
        </div>
      )}
      {rows.length > 0 && mayAct && <p className="shortcuts muted small">{t('calls.shortcuts')}</p>}
      {starting && (
        <StartCallDialog
          onClose={(id) => {
            setStarting(false);
            if (id) navigate(routes.call(id));
          }}
        />
      )}
      {ending && <EndCallDialog call={ending} onClose={() => setEnding(null)} />}
    </>
  );
}

interface FilterBarProps {
  filters: CallFilters;
  onChange(next: CallFilters): void;
  search: React.RefObject<HTMLInputElement | null>;
}

function FilterBar({ filters, onChange, search }: FilterBarProps) {
  const { t } = useTranslation();
  const [text, setText] = useState(filters.q);
  const [open, setOpen] = useState(false);
  const latest = useRef({ filters, onChange });
  latest.current = { filters, onChange };

  // Typing settles before it becomes a request and an address.
  useEffect(() => {
    if (text === latest.current.filters.q) return;
    const timer = setTimeout(() => {
      latest.current.onChange({ ...latest.current.filters, q: text });
    }, 250);
    return () => clearTimeout(timer);
  }, [text]);
  useEffect(() => setText(filters.q), [filters.q]);

  const select = (name: 'status' | 'direction', values: string[], any: string) => (
    <select
      className="select"
      aria-label={t(`calls.filter.${name}`)}
      value={filters[name]}
      onChange={(event) => onChange({ ...filters, [name]: event.target.value })}
    >
      <option value="">{any}</option>
      {values.map((value) => (
        <option key={value} value={value}>
          {t(`${name}.${value}`)}
        </option>
      ))}
    </select>
  );
  const day = (name: 'from' | 'to') => (
    <label className="filter-day">
      <span>{t(`calls.filter.${name}`)}</span>
      <input
        className="input"
        type="date"
        value={filters[name]}
        onChange={(event) => onChange({ ...filters, [name]: event.target.value })}
      />
    </label>
  );
  return (
    <search className="filters" aria-label={t('calls.filter.label')}>
      <div className="filter-search">
        <Search size={14} aria-hidden />
        <input
          ref={search}
          className="input"
          type="search"
          aria-label={t('calls.filter.search')}
          placeholder={t('calls.filter.search')}
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
      </div>
      <Button
        className="filter-toggle"
        aria-expanded={open}
        aria-controls="filter-rest"
        onClick={() => setOpen(!open)}
      >
        <SlidersHorizontal size={14} aria-hidden />
        {t('calls.filter.toggle')}
      </Button>
      <div id="filter-rest" className="filter-rest" data-open={open || undefined}>
        {select('status', STATUSES, t('calls.filter.any_status'))}
        {select('direction', DIRECTIONS, t('calls.filter.any_direction'))}
        {day('from')}
        {day('to')}
      </div>
      {isFiltered(filters) && (
        <Button look="quiet" onClick={() => onChange(NO_FILTERS)}>
          {t('calls.filter.clear')}
        </Button>
      )}
    </search>
  );
}

interface Group {
  key: string;
  heading: string;
  live: boolean;
  rows: CallRow[];
}

function useGroups(rows: CallRow[]): Group[] {
  const { t } = useTranslation();
  const locale = useLocale();
  const groups: Group[] = [];
  const live = rows.filter(isLive);
  if (live.length > 0) groups.push({ key: 'live', heading: t('calls.live'), live: true, rows: live });
  for (const row of rows) {
    if (isLive(row)) continue;
    const key = localDay(row.started_at);
    const last = groups.at(-1);
    if (last?.key === key) last.rows.push(row);
    else groups.push({ key, heading: dayHeading(key, Date.now(), locale), live: false, rows: [row] });
  }
  return groups;
}

function CallTable({ rows, onEnd }: { rows: CallRow[]; onEnd?: (row: CallRow) => void }) {
  const { t } = useTranslation();
  const groups = useGroups(rows);
  const table = useRef<HTMLTableElement>(null);
  const focusRow = (step: number) => {
    const links = [...(table.current?.querySelectorAll<HTMLElement>('a.call-link') ?? [])];
    const at = links.findIndex((link) => link.closest('tr')?.contains(document.activeElement));
    const next =
      at < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, at + step));
    links[next]?.focus();
  };
  const down = () => focusRow(1);
  const up = () => focusRow(-1);
  useKeys({ ArrowDown: down, ArrowUp: up, j: down, k: up });
  return (
    <table className="table calls" ref={table}>
      <caption className="visually-hidden">{t('calls.list')}</caption>
      <thead>
        <tr>
          <th scope="col">{t('calls.column.state')}</th>
          <th scope="col">{t('calls.column.caller')}</th>
          <th scope="col">{t('calls.column.with')}</th>
          <th scope="col">{t('calls.column.outcome')}</th>
          <th scope="col" className="number" title={t('calls.column.ours_hint')}>
            {t('calls.column.ours')}
          </th>
          <th scope="col" className="number">
            {t('calls.column.started')}
          </th>
          <th scope="col" className="number">
            {t('calls.column.duration')}
          </th>
          <th scope="col">
            <span className="visually-hidden">{t('calls.column.actions')}</span>
          </th>
        </tr>
      </thead>
      {groups.map((group) => (
        <tbody key={group.key} data-live={group.live || undefined}>
          <tr className="group">
            <th scope="rowgroup" colSpan={8}>
              {group.heading}
              <span className="group-count">{group.rows.length}</span>
            </th>
          </tr>
          {group.rows.map((row) => (
            <Row key={row.id} row={row} onEnd={onEnd} />
          ))}
        </tbody>
      ))}
    </table>
  );
}

function Row({ row, onEnd }: { row: CallRow; onEnd?: (row: CallRow) => void }) {
  const { t } = useTranslation();
  const [, navigate] = useLocation();
  const locale = useLocale();
  const word = useWord();
  const name = row.caller_name ?? '';
  const number = shortTarget(row.caller) || t('app.unknown');
  const live = isLive(row);
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'e' && live && onEnd && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      onEnd(row);
    }
  };
  const ours = row.latency?.ours_ms;
  return (
    // The row is a larger target for the pointer; the link inside is what the keyboard and readers use.
    <tr
      className="call-row"
      data-call={row.id}
      data-status={row.status}
      onKeyDown={onKeyDown}
      onClick={(event) => {
        const inner = (event.target as HTMLElement).closest('a, button');
        if (!inner && !getSelection()?.toString()) navigate(routes.call(row.id));
      }}
    >
      <td className="cell-state">
        {live ? (
          <StatusBadge status={row.status} />
        ) : (
          <span className="state-ended">{t('status.ended')}</span>
        )}
      </td>
      <td className="cell-caller">
        <div className="who-calls">
          <DirectionMark row={row} />
          <Link href={routes.call(row.id)} className="call-link">
            {name || <bdi dir="ltr">{number}</bdi>}
          </Link>
          {name && (
            <bdi dir="ltr" className="muted">
              {number}
            </bdi>
          )}
          <SimulatedBadge row={row} />
          <ViolationMark row={row} />
        </div>
      </td>
      <td className="cell-with">{withWhom(row)}</td>
      <td className="cell-outcome">
        {row.outcome && (
          <span className="outcome" data-tone={outcomeTone(row.outcome.code)}>
            {word('outcome', row.outcome.code)}
          </span>
        )}
      </td>
      <td className="cell-ours number">
        {ours?.p50 != null && (
          <span
            title={t('call.median_p95', { p50: latency(ours.p50, locale), p95: latency(ours.p95, locale) })}
          >
            {latency(ours.p50, locale)}
          </span>
        )}
      </td>
      <td className="cell-started number muted">
        <Time at={row.started_at} />
      </td>
      <td className="cell-duration number">
        <Duration row={row} />
      </td>
      <td className="cell-actions">
        {live && onEnd && (
          <Button
            small
            icon
            look="quiet"
            className="end-call"
            aria-label={`${t('calls.end')}: ${name || number}`}
            title={t('calls.end')}
            onClick={() => onEnd(row)}
          >
            <PhoneOff size={14} aria-hidden />
          </Button>
        )}
      </td>
    </tr>
  );
}

/** Green: somebody was helped. Amber: a person was not there. Red: something of ours or upstream broke. */
function outcomeTone(code: string): BadgeTone {
  switch (code) {
    case 'transferred':
      return 'good';
    case 'completed':
    case 'handed_over':
    case 'message_taken':
    case 'staff_notified':
      return 'accent';
    case 'caller_gone':
    case 'no_answer':
    case 'busy':
    case 'rejected':
    case 'voicemail':
    case 'silence':
    case 'not_identified':
    case 'turn_limit':
    case 'time_limit':
      return 'wait';
    case 'transfer_failed':
    case 'assistant_errors':
    case 'unreachable':
    case 'not_acceptable':
    case 'failed':
    case 'media_lost':
    case 'restarted':
    case 'shutdown':
      return 'bad';
    default:
      return 'quiet';
  }
}

function withWhom(row: CallRow): ReactNode {
  if (row.agent) return <bdi dir="ltr">{shortTarget(row.agent)}</bdi>;
  return <bdi>{row.assistant ?? ''}</bdi>;
}

function Duration({ row }: { row: CallRow }) {
  const now = useNow(isLive(row));
  return <>{clockDuration(between(row.answered_at ?? row.started_at, row.ended_at, now))}</>;
}

export function DirectionMark({ row }: { row: Pick<CallRow, 'direction'> }) {
  const { t } = useTranslation();
  const Icon = row.direction === 'outbound' ? PhoneOutgoing : PhoneIncoming;
  const word = t(`direction.${row.direction}`);
  return (
    <span className="direction" title={word}>
      <Icon size={14} aria-hidden />
      <span className="visually-hidden">{word}</span>
    </span>
  );
}

function ViolationMark({ row }: { row: CallRow }) {
  const { t } = useTranslation();
  const count = Array.isArray(row.violations) ? row.violations.length : (row.violations ?? 0);
  if (count === 0) return null;
  const text = t('calls.violations', { count });
  return (
    <span className="violation-mark" title={text}>
      <AlertOctagon size={14} aria-hidden />
      <span className="visually-hidden">{text}</span>
    </span>
  );
}

function NoCalls({ filtered, onStart, onClear }: { filtered: boolean; onStart(): void; onClear(): void }) {
  const { t } = useTranslation();
  const mayAct = useMayAct();
  const extensions = useExtensions().data?.items ?? [];
  const address = assistantUri(useReadiness().data?.sip, location.hostname);
  if (filtered) {
    return (
      <Blank
        icon={<Search size={24} aria-hidden />}
        title={t('calls.none_match.title')}
        actions={<Button onClick={onClear}>{t('calls.filter.clear')}</Button>}
      >
        <p>{t('calls.none_match.lead')}</p>
      </Blank>
    );
  }
  const registered = extensions.filter((row) => row.registered).map((row) => row.extension);
  return (
    <div className="first-call">
      <PhoneCall size={28} aria-hidden />
      <h2>{t('calls.empty.title')}</h2>
      <p className="muted">{t('calls.empty.lead')}</p>
      <div className="first-call-ways">
        {address && (
          <div>
            <h3>{t('calls.empty.from_phone')}</h3>
            <p>
              <Trans
                i18nKey="calls.empty.from_phone_text"
                values={{ address }}
                components={{ code: <code dir="ltr" /> }}
              />
            </p>
          </div>
        )}
        <div>
          <h3>{t('calls.empty.from_here')}</h3>
          <p>{t('calls.empty.from_here_text')}</p>
          {extensions.length > 0 && (
            <p className="muted small">
              {registered.length > 0
                ? t('calls.empty.registered', { list: registered.join(', ') })
                : t('calls.empty.none_registered', {
                    list: extensions.map((row) => row.extension).join(', '),
                  })}
            </p>
          )}
          {mayAct && (
            <Button look="primary" onClick={onStart}>
              <Phone size={14} aria-hidden />
              {t('calls.start')}
            </Button>
          )}
        </div>
      </div>
    </div>
  );
}
