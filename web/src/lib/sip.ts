import type { SipReach } from '../api/types';

/** The port of a SIP URI that names none (RFC 3261 §19.1.2). */
const USUAL_PORT = 5060;

/**
 * What to dial to reach the assistant, by what the gateway says of itself. Where it tells peers no
 * address of its own, it is the machine this page came from. Null when no number leads there.
 */
export function assistantUri(sip: SipReach | null | undefined, pageHost: string): string | null {
  if (sip && !sip.assistant) return null;
  const listener = sip?.listeners.find((one) => one.transport === 'udp') ?? sip?.listeners[0];
  const host = sip?.host ?? pageHost;
  const bracketed = host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
  const port = listener && listener.port !== USUAL_PORT ? `:${listener.port}` : '';
  const transport = listener && listener.transport !== 'udp' ? `;transport=${listener.transport}` : '';
  return `sip:${sip?.assistant ?? 'assistant'}@${bracketed}${port}${transport}`;
}
