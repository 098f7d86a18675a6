import { describe, expect, it } from 'vitest';
import type { SipReach } from '../src/api/types';
import { assistantUri } from '../src/lib/sip';

const reach = (over: Partial<SipReach> = {}): SipReach => ({
  assistant: 'assistant',
  host: null,
  listeners: [
    { transport: 'udp', ip: '127.0.0.1', port: 5060 },
    { transport: 'tcp', ip: '127.0.0.1', port: 5060 },
  ],
  ...over,
});

describe('what to dial for the assistant', () => {
  it("is at the page's own host while the gateway tells no address", () => {
    expect(assistantUri(reach(), 'voice.example.com')).toBe('sip:assistant@voice.example.com');
  });

  it('names the port unless it is the usual one', () => {
    const listeners = [{ transport: 'udp', ip: '0.0.0.0', port: 5070 }];
    expect(assistantUri(reach({ listeners }), 'localhost')).toBe('sip:assistant@localhost:5070');
  });

  it('is at the address that peers are told', () => {
    expect(assistantUri(reach({ host: '203.0.113.5', assistant: '100' }), 'localhost')).toBe(
      'sip:100@203.0.113.5',
    );
    expect(assistantUri(reach({ host: '2001:db8::5' }), 'localhost')).toBe('sip:assistant@[2001:db8::5]');
    expect(assistantUri(reach(), '[::1]')).toBe('sip:assistant@[::1]');
  });

  it('names the transport when there is no UDP', () => {
    const listeners = [{ transport: 'tcp', ip: '0.0.0.0', port: 5060 }];
    expect(assistantUri(reach({ listeners }), 'localhost')).toBe('sip:assistant@localhost;transport=tcp');
  });

  it('is nothing when no number leads to the assistant', () => {
    expect(assistantUri(reach({ assistant: null }), 'localhost')).toBeNull();
  });

  it('is the usual address until the gateway has answered', () => {
    expect(assistantUri(undefined, 'localhost')).toBe('sip:assistant@localhost');
  });
});
