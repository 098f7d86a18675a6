export type Theme = 'system' | 'light' | 'dark';

// The same key is read by public/theme.js before the first paint.
const STORAGE_KEY = 'switchhook.theme';
const listeners = new Set<() => void>();

export const theme = {
  get(): Theme {
    const chosen = document.documentElement.dataset.theme;
    return chosen === 'light' || chosen === 'dark' ? chosen : 'system';
  },
  subscribe(listener: () => void): () => void {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
};

export function setTheme(next: Theme): void {
  if (next === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try {
    if (next === 'system') localStorage.removeItem(STORAGE_KEY);
    else localStorage.setItem(STORAGE_KEY, next);
  } catch {
    // The choice then lasts until the page is closed.
  }
  for (const listener of listeners) listener();
}
