import { createContext, useCallback, useEffect, useRef, useState } from 'react';
import { ApiError } from '../../api/client';
import { useRecording } from '../../api/queries';
import type { CallDetail } from '../../api/types';
import type { Moment } from '../../lib/moment';
import { peaks } from '../../lib/timeline';

/** Plays from an instant of the call, in milliseconds since the epoch. `null`: there is nothing to play. */
export const SeekContext = createContext<((at: number) => void) | null>(null);

export const SPEEDS = [1, 1.5, 2] as const;

export interface Player {
  state: 'none' | 'later' | 'loading' | 'failed' | 'forbidden' | 'ready';
  retry(): void;
  playing: boolean;
  speed: number;
  /** Of the recording, in milliseconds. */
  durationMs: number;
  /** When the recording begins, in milliseconds since the epoch. */
  startsAt: number;
  url: string | null;
  /** Loudness over time of the left and right channel, 0 to 1. */
  channels: Float32Array[] | null;
  toggle(): void;
  seek(at: number): void;
  setSpeed(speed: number): void;
}

const BUCKETS = 600;

export function usePlayer(call: CallDetail, moment: Moment): Player {
  const recording = call.recording;
  const ready = !!recording && call.status === 'ended' && (recording.state ?? 'ready') === 'ready';
  const query = useRecording(call.id, ready);
  const audio = useRef<HTMLAudioElement | null>(null);
  const [url, setUrl] = useState<string | null>(null);
  const [channels, setChannels] = useState<Float32Array[] | null>(null);
  const [playing, setPlaying] = useState(false);
  const [speed, setSpeedState] = useState(1);
  const [durationMs, setDuration] = useState(recording?.duration_ms ?? 0);
  const startsAt = Date.parse(recording?.started_at ?? call.answered_at ?? call.started_at);
  const blob = query.data;
  const refused = query.error instanceof ApiError && query.error.isForbidden;

  useEffect(() => {
    if (!blob) return;
    const address = URL.createObjectURL(blob);
    const element = new Audio(address);
    element.preload = 'auto';
    audio.current = element;
    setUrl(address);
    let frame = 0;
    const follow = () => {
      moment.play(startsAt + element.currentTime * 1000);
      frame = element.paused ? 0 : requestAnimationFrame(follow);
    };
    element.onplay = () => {
      setPlaying(true);
      follow();
    };
    element.onpause = () => setPlaying(false);
    element.onseeked = follow;
    element.onloadedmetadata = () => {
      if (Number.isFinite(element.duration)) setDuration(element.duration * 1000);
    };
    return () => {
      cancelAnimationFrame(frame);
      element.pause();
      element.removeAttribute('src');
      audio.current = null;
      moment.play(null);
      setUrl(null);
      URL.revokeObjectURL(address);
    };
  }, [blob, moment, startsAt]);

  useEffect(() => {
    if (!blob) return;
    let current = true;
    loudness(blob).then(
      (found) => current && setChannels(found),
      // Without a picture of it the recording can still be heard.
      () => undefined,
    );
    return () => {
      current = false;
    };
  }, [blob]);

  const toggle = useCallback(() => {
    const element = audio.current;
    if (!element) return;
    if (element.paused) void element.play().catch(() => setPlaying(false));
    else element.pause();
  }, []);
  const seek = useCallback(
    (at: number) => {
      const element = audio.current;
      if (!element) return;
      const last = Number.isFinite(element.duration) ? element.duration : Number.POSITIVE_INFINITY;
      element.currentTime = Math.min(last, Math.max(0, (at - startsAt) / 1000));
      moment.play(startsAt + element.currentTime * 1000);
    },
    [moment, startsAt],
  );
  const setSpeed = useCallback((next: number) => {
    if (audio.current) audio.current.playbackRate = next;
    setSpeedState(next);
  }, []);

  const state =
    !recording || recording.state === 'deleted' || recording.state === 'failed'
      ? 'none'
      : !ready
        ? 'later'
        : query.isError
          ? refused
            ? 'forbidden'
            : 'failed'
          : url
            ? 'ready'
            : 'loading';
  return {
    state,
    retry: () => void query.refetch(),
    playing,
    speed,
    durationMs,
    startsAt,
    url,
    channels,
    toggle,
    seek,
    setSpeed,
  };
}

async function loudness(blob: Blob): Promise<Float32Array[]> {
  // Telephone audio: decoding at its own rate keeps an hour's call small in memory.
  const context = new OfflineAudioContext(1, 1, 8000);
  const decoded = await context.decodeAudioData(await blob.arrayBuffer());
  return Array.from({ length: Math.min(2, decoded.numberOfChannels) }, (_, channel) =>
    peaks(decoded.getChannelData(channel), BUCKETS),
  );
}
