/** How numbers and times are shown. Every function takes the locale, none reads it from around it. */

/** A duration as a clock: `0:18`, `2:03`, `1:02:03`. Tabular, for tables and tickers. */
export function clockDuration(ms: number): string {
  const total = Math.max(0, Math.floor(ms / 1000));
  const hours = Math.floor(total / 3600);
  const minutes = Math.floor((total % 3600) / 60);
  const seconds = String(total % 60).padStart(2, '0');
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, '0')}:${seconds}` : `${minutes}:${seconds}`;
}

/** A duration for reading: `18 s`, `2 min 3 s`, `1 h 2 min`. The units are the SI's, the same in en and de. */
export function spokenDuration(ms: number): string {
  const total = Math.max(0, Math.round(ms / 1000));
  if (total < 60) return `${total} s`;
  const hours = Math.floor(total / 3600);
  const minutes = Math.floor((total % 3600) / 60);
  const seconds = total % 60;
  if (hours > 0) return minutes > 0 ? `${hours} h ${minutes} min` : `${hours} h`;
  return seconds > 0 ? `${minutes} min ${seconds} s` : `${minutes} min`;
}

/** A latency: whole milliseconds below one second, then seconds with two digits. */
export function latency(ms: number | null | undefined, locale: string): string {
  if (ms === null || ms === undefined) return '–';
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = new Intl.NumberFormat(locale, {
    minimumFractionDigits: 2,
    maximumFractionDigits: 2,
  }).format(ms / 1000);
  return `${seconds} s`;
}

/** A measured figure: at most two digits after the point. */
export function decimal(value: number, locale: string): string {
  return new Intl.NumberFormat(locale, { maximumFractionDigits: 2 }).format(value);
}

/** The distance between two rows of a ladder: `+0.042`. */
export function delta(ms: number, locale: string): string {
  const seconds = new Intl.NumberFormat(locale, {
    minimumFractionDigits: 3,
    maximumFractionDigits: 3,
    useGrouping: false,
  }).format(ms / 1000);
  return `+${seconds}`;
}

export function timeOfDay(iso: string | number, locale: string, millis = false): string {
  return new Intl.DateTimeFormat(locale, {
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    fractionalSecondDigits: millis ? 3 : undefined,
    hourCycle: 'h23',
  }).format(new Date(iso));
}

/** Date, time and zone in full, for the tooltip of every shorter time. */
export function fullTime(iso: string | number, locale: string): string {
  return new Intl.DateTimeFormat(locale, {
    weekday: 'short',
    year: 'numeric',
    month: 'short',
    day: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    fractionalSecondDigits: 3,
    hourCycle: 'h23',
    timeZoneName: 'long',
  }).format(new Date(iso));
}

/** The local day as `2026-11-21`: equal for two instants of the same local day. */
export function localDay(at: string | number): string {
  const date = new Date(at);
  const two = (n: number) => String(n).padStart(2, '0');
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/** `today`, `yesterday` in the locale's words, else the date with its weekday. */
export function dayHeading(day: string, now: number, locale: string): string {
  const [year = 1970, month = 1, date = 1] = day.split('-').map(Number);
  const start = (d: Date) => Date.UTC(d.getFullYear(), d.getMonth(), d.getDate());
  const that = new Date(year, month - 1, date);
  const days = Math.round((start(new Date(now)) - start(that)) / 86_400_000);
  if (days === 0 || days === 1) {
    const word = new Intl.RelativeTimeFormat(locale, { numeric: 'auto' }).format(-days, 'day');
    return word.charAt(0).toLocaleUpperCase(locale) + word.slice(1);
  }
  return new Intl.DateTimeFormat(locale, {
    weekday: 'long',
    day: 'numeric',
    month: 'long',
    ...(new Date(now).getFullYear() === year ? {} : { year: 'numeric' }),
  }).format(that);
}

/** Milliseconds from `start` to `end`, or to `now` while there is no end. Never negative. */
export function between(start: string, end: string | null | undefined, now: number): number {
  return Math.max(0, (end ? Date.parse(end) : now) - Date.parse(start));
}
