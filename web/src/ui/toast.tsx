import { useSyncExternalStore } from 'react';

interface Toast {
  id: number;
  text: string;
}

let shown: Toast[] = [];
let next = 1;
const listeners = new Set<() => void>();

function set(toasts: Toast[]): void {
  shown = toasts;
  for (const listener of listeners) listener();
}

/** Says briefly that something worked. Errors stay where they happened instead. */
export function toast(text: string): void {
  const id = next++;
  set([...shown, { id, text }]);
  setTimeout(() => set(shown.filter((one) => one.id !== id)), 4000);
}

export function Toasts() {
  const toasts = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => shown,
  );
  return (
    <div className="toasts" role="status" aria-live="polite">
      {toasts.map((one) => (
        <div className="toast" key={one.id}>
          {one.text}
        </div>
      ))}
    </div>
  );
}
