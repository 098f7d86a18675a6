import { createContext, useContext, useSyncExternalStore } from 'react';

/**
 * The instant all parts of a call page point at: where the pointer rests, else where the recording plays.
 * Milliseconds since the epoch, as the events of the call.
 */
export class Moment {
  private hovered: number | null = null;
  private playing: number | null = null;
  private listeners = new Set<() => void>();

  get at(): number | null {
    return this.hovered ?? this.playing;
  }
  get playedTo(): number | null {
    return this.playing;
  }
  hover = (at: number | null): void => {
    if (this.hovered === at) return;
    this.hovered = at;
    this.tell();
  };
  play = (at: number | null): void => {
    if (this.playing === at) return;
    this.playing = at;
    this.tell();
  };
  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };
  private tell(): void {
    for (const listener of this.listeners) listener();
  }
}

export const MomentContext = createContext<Moment>(new Moment());

/** Renders again only when what is chosen from the moment changes. `choose` must return a primitive. */
export function useMoment<T extends string | number | null>(choose: (moment: Moment) => T): T {
  const moment = useContext(MomentContext);
  return useSyncExternalStore(moment.subscribe, () => choose(moment));
}
