import { useEffect, useSyncExternalStore } from 'react';
import { useTranslation } from 'react-i18next';
import { auth, gatewayNow } from '../api/client';
import { formatLocale } from '../i18n';

export function useLocale(): string {
  const { i18n } = useTranslation();
  return formatLocale(i18n.language);
}

// One timer for all tickers of the page; it runs only while something ticks.
const tickers = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;
let second = gatewayNow();

function subscribeSecond(listener: () => void): () => void {
  tickers.add(listener);
  second = gatewayNow();
  timer ??= setInterval(() => {
    second = gatewayNow();
    for (const ticker of tickers) ticker();
  }, 1000);
  return () => {
    tickers.delete(listener);
    if (tickers.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
}

const never = () => () => {};

/** The gateway's time, renewed each second while `ticking`. */
export function useNow(ticking = true): number {
  return useSyncExternalStore(ticking ? subscribeSecond : never, () => second);
}

export function useTitle(title: string): void {
  useEffect(() => {
    document.title = title ? `${title} · Switchhook` : 'Switchhook';
  }, [title]);
}

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && target.closest('input, select, textarea, dialog[open]') !== null;

/** Single keys that work anywhere on the page, except while typing and in dialogs. */
export function useKeys(keys: Record<string, (event: KeyboardEvent) => void>): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      if (isTyping(event.target)) return;
      const action = keys[event.key];
      if (!action) return;
      event.preventDefault();
      action(event);
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  });
}

/** Whether the signed-in role may start, end and transfer calls. The gateway decides; this hides what it would refuse. */
export function useMayAct(): boolean {
  const role = useSyncExternalStore(auth.subscribe, () => auth.get()?.role);
  return role === 'operator' || role === 'admin';
}
