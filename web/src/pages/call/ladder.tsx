import { ChevronDown, ChevronUp, X } from 'lucide-react';
import { type KeyboardEvent, useContext, useEffect, useMemo, useRef, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { useCallEvents } from '../../api/queries';
import type { CallDetail, CallEvent } from '../../api/types';
import { delta, fullTime, spokenDuration, timeOfDay } from '../../lib/format';
import {
  type Activity,
  type Column,
  type GapRow,
  type LadderRow,
  layoutLadder,
  splitWireText,
} from '../../lib/ladder';
import { MomentContext, useMoment } from '../../lib/moment';
import { shortTarget } from '../../lib/party';
import { Button, CopyText, Failure, Loading, Time, useWord } from '../../ui/basics';
import { useLocale } from '../../ui/hooks';

const isEvent = (row: LadderRow | GapRow): row is LadderRow => row.type !== 'gap';

export function LadderPanel({ call }: { call: CallDetail }) {
  const { t } = useTranslation();
  const query = useCallEvents(call.id);
  const [facts, setFacts] = useState(true);
  const events = query.data;
  const ladder = useMemo(() => layoutLadder(call, events ?? [], { facts }), [call, events, facts]);
  const wires = (events ?? []).filter((event) => event.kind === 'wire').length;
  return (
    <section className="panel ladder-panel" aria-labelledby="ladder-title">
      <div className="panel-head">
        <h2 id="ladder-title">{t('ladder.title')}</h2>
        {wires > 0 && <span className="muted small">{t('ladder.rows', { count: wires })}</span>}
        <label className="end check small">
          <input type="checkbox" checked={facts} onChange={(event) => setFacts(event.target.checked)} />
          {t('ladder.show_facts')}
        </label>
      </div>
      {query.isPending ? (
        <Loading lines={8} />
      ) : query.isError && !events ? (
        <Failure error={query.error} retry={() => void query.refetch()} />
      ) : ladder.rows.length === 0 ? (
        <p className="panel-body muted">{t('ladder.empty')}</p>
      ) : (
        <Ladder call={call} columns={ladder.columns} rows={ladder.rows} />
      )}
    </section>
  );
}

interface LadderProps {
  call: CallDetail;
  columns: Column[];
  rows: (LadderRow | GapRow)[];
}

function Ladder({ call, columns, rows }: LadderProps) {
  const { t } = useTranslation();
  const list = useRef<HTMLOListElement>(null);
  const [focused, setFocused] = useState(0);
  const [openId, setOpenId] = useState<string | null>(null);
  const items = useMemo(() => rows.filter(isEvent), [rows]);
  const openIndex = items.findIndex((row) => row.event.id === openId);
  const open = items[openIndex];
  const current = useMoment((moment) => {
    const at = moment.at;
    if (at === null) return null;
    return items.findLast((row) => Date.parse(row.event.at) <= at)?.event.id ?? null;
  });

  const focusItem = (index: number) => {
    const next = Math.min(items.length - 1, Math.max(0, index));
    setFocused(next);
    if (openId !== null) setOpenId(items[next]?.event.id ?? null);
    const button = list.current?.querySelectorAll<HTMLElement>('button.ladder-row')[next];
    button?.focus({ preventScroll: true });
    button?.scrollIntoView({ block: 'nearest' });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const steps: Record<string, number> = {
      ArrowDown: focused + 1,
      ArrowUp: focused - 1,
      Home: 0,
      End: items.length - 1,
      PageDown: focused + 10,
      PageUp: focused - 10,
    };
    const next = steps[event.key];
    if (next !== undefined) {
      event.preventDefault();
      focusItem(next);
    } else if (event.key === 'Escape' && openId !== null) {
      event.preventDefault();
      setOpenId(null);
    }
  };
  const close = () => {
    setOpenId(null);
    focusItem(focused);
  };

  const live = call.status !== 'ended';
  return (
    <div className="ladder" style={{ '--columns': columns.length }}>
      <p id="ladder-hint" className="visually-hidden">
        {t('ladder.hint')}
      </p>
      <div className="ladder-scroll">
        <div className="ladder-head" aria-hidden>
          <span className="ladder-clock" />
          <div className="lanes">
            {columns.map((column) => (
              <ColumnName key={column.key} column={column} call={call} />
            ))}
          </div>
        </div>
        <ol ref={list} className="ladder-rows" onKeyDown={onKeyDown} aria-describedby="ladder-hint">
          {rows.map((row) => {
            if (!isEvent(row)) return <Gap key={row.id} row={row} />;
            const index = items.indexOf(row);
            return (
              <Item
                key={row.event.id}
                row={row}
                columns={columns}
                focusable={index === Math.min(focused, items.length - 1)}
                open={row.event.id === openId}
                current={row.event.id === current}
                onOpen={() => {
                  setFocused(index);
                  setOpenId(row.event.id === openId ? null : row.event.id);
                }}
              />
            );
          })}
        </ol>
        {live && (
          <p className="ladder-live muted small">
            <span className="badge" data-tone="good" data-live="true">
              {t('link.live')}
            </span>
            {t('ladder.live')}
          </p>
        )}
      </div>
      {open && (
        <WirePanel
          row={open}
          columns={columns}
          onClose={close}
          onStep={(step) => focusItem(openIndex + step)}
          first={openIndex === 0}
          last={openIndex === items.length - 1}
        />
      )}
    </div>
  );
}

function useColumnName(): (column: Column | undefined) => string {
  const { t } = useTranslation();
  return (column) => (column ? column.name || t(`ladder.${column.role}`) : '');
}

function ColumnName({ column, call }: { column: Column; call: CallDetail }) {
  const { t } = useTranslation();
  const name = useColumnName();
  const below =
    column.role === 'caller'
      ? shortTarget(call.caller)
      : column.role === 'human' && column.name
        ? t('ladder.human')
        : '';
  return (
    <span className="ladder-column" data-role={column.role}>
      <bdi dir="auto">{name(column)}</bdi>
      <bdi dir="auto" className="muted small">
        {below}
      </bdi>
    </span>
  );
}

const centre = (column: number): string => `calc((${column} + 0.5) * 100% / var(--columns))`;

function Lines({ activity }: { activity: Activity[] }) {
  return activity.map((state, column) => (
    <span
      // biome-ignore lint/suspicious/noArrayIndexKey: columns never move
      key={column}
      className="lifeline"
      data-activity={state}
      style={{ insetInlineStart: centre(column) }}
    />
  ));
}

function Gap({ row }: { row: GapRow }) {
  const { t } = useTranslation();
  const length = spokenDuration(row.durationMs);
  return (
    <li className="ladder-gap" title={t('ladder.gap', { length })}>
      <span className="ladder-clock">{length}</span>
      <div className="lanes">
        <Lines activity={row.activity} />
      </div>
    </li>
  );
}

/** A message's own words; a call event's in the page's language. */
function useLabel(): (row: LadderRow) => string {
  const word = useWord();
  return (row) => (row.event.kind === 'fact' ? word('fact', row.event.label) : row.event.label);
}

interface ItemProps {
  row: LadderRow;
  columns: Column[];
  focusable: boolean;
  open: boolean;
  current: boolean;
  onOpen(): void;
}

function Item({ row, columns, focusable, open, current, onOpen }: ItemProps) {
  const { t } = useTranslation();
  const locale = useLocale();
  const label = useLabel()(row);
  const name = useColumnName();
  const moment = useContext(MomentContext);
  const at = Date.parse(row.event.at);
  const time = timeOfDay(row.event.at, locale, true);
  return (
    <li>
      <button
        type="button"
        className="ladder-row"
        tabIndex={focusable ? 0 : -1}
        aria-expanded={open}
        data-open={open || undefined}
        data-current={current || undefined}
        onClick={onOpen}
        onPointerEnter={() => moment.hover(at)}
        onPointerLeave={() => moment.hover(null)}
        onFocus={() => moment.hover(at)}
        onBlur={() => moment.hover(null)}
      >
        <span className="ladder-clock" title={fullTime(row.event.at, locale)}>
          <span>{time}</span>
          <span className="ladder-delta">{row.deltaMs > 0 ? delta(row.deltaMs, locale) : ''}</span>
        </span>
        <span className="lanes">
          <Lines activity={row.activity} />
          {row.type === 'note' ? (
            <span
              className="ladder-note"
              data-kind={row.event.kind}
              style={{ insetInlineStart: centre(row.from) }}
            >
              <span>{label}</span>
            </span>
          ) : (
            <>
              <Arrow row={row} label={label} />
              <span className="visually-hidden">
                {t('ladder.direction', { from: name(columns[row.from]), to: name(columns[row.to]) })}
              </span>
            </>
          )}
        </span>
      </button>
    </li>
  );
}

function Arrow({ row, label }: { row: LadderRow; label: string }) {
  const forward = row.to > row.from;
  const first = Math.min(row.from, row.to);
  const span = Math.abs(row.to - row.from);
  return (
    <span
      className="arrow"
      data-tone={row.tone}
      data-direction={forward ? 'forward' : 'back'}
      style={{ insetInlineStart: centre(first), width: `calc(${span} * 100% / var(--columns))` }}
    >
      <span dir="auto" title={label}>
        {label}
      </span>
    </span>
  );
}

interface WirePanelProps {
  row: LadderRow;
  columns: Column[];
  first: boolean;
  last: boolean;
  onClose(): void;
  onStep(step: number): void;
}

function WirePanel({ row, columns, first, last, onClose, onStep }: WirePanelProps) {
  const { t } = useTranslation();
  const name = useColumnName();
  const label = useLabel()(row);
  const { event } = row;
  const text = event.text ? splitWireText(event.text) : null;
  useEffect(() => {
    const onKey = (key: globalThis.KeyboardEvent) =>
      key.key === 'Escape' && !key.defaultPrevented && onClose();
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  });
  return (
    <aside className="wire" aria-label={`${t('ladder.message')}: ${label}`}>
      <div className="wire-head">
        <div className="wire-title">
          <strong data-tone={row.tone}>{label}</strong>
          <span className="muted small">
            <Time at={event.at} millis /> · {name(columns[row.from])}
            {row.from !== row.to && ` → ${name(columns[row.to])}`}
          </span>
        </div>
        <Button
          icon
          small
          look="quiet"
          disabled={first}
          aria-label={t('ladder.previous')}
          title={t('ladder.previous')}
          onClick={() => onStep(-1)}
        >
          <ChevronUp size={16} aria-hidden />
        </Button>
        <Button
          icon
          small
          look="quiet"
          disabled={last}
          aria-label={t('ladder.next')}
          title={t('ladder.next')}
          onClick={() => onStep(1)}
        >
          <ChevronDown size={16} aria-hidden />
        </Button>
        <Button icon small look="quiet" aria-label={t('app.close')} title={t('app.close')} onClick={onClose}>
          <X size={16} aria-hidden />
        </Button>
      </div>
      {text && event.text && event.kind === 'wire' ? (
        // A scrolling area is reached by the keyboard, too.
        // biome-ignore lint/a11y/noNoninteractiveTabindex: see above
        <section className="wire-text" dir="ltr" tabIndex={0} aria-label={label}>
          <p className="wire-start">{text.start}</p>
          <dl className="wire-headers">
            {text.headers.map((header, i) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: a header may come twice, and none moves
              <div key={i}>
                <dt>{header.name}:</dt> <dd>{header.value}</dd>
              </div>
            ))}
          </dl>
          {text.body && <pre className="wire-body">{text.body}</pre>}
          <CopyText text={event.text} shown={t('app.copy')} />
        </section>
      ) : (
        <FactText event={event} />
      )}
      {event.leg && (
        <div className="wire-foot">
          <CopyText text={event.leg} />
        </div>
      )}
    </aside>
  );
}

/** What a call event says, one line for each field. */
function FactText({ event }: { event: CallEvent }) {
  const { t } = useTranslation();
  const fields = Object.entries(event.data ?? {});
  if (event.kind === 'wire') return <p className="wire-text muted">{t('ladder.no_text')}</p>;
  return (
    <div className="wire-text" dir="ltr">
      <p className="wire-start">{event.label}</p>
      <dl className="wire-headers">
        {fields.map(([name, value]) => (
          <div key={name}>
            <dt>{name}:</dt> <dd>{typeof value === 'string' ? value : JSON.stringify(value)}</dd>
          </div>
        ))}
      </dl>
    </div>
  );
}
