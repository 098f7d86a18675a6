import { describe, expect, it } from 'vitest';
import { isTarget, tidyTarget } from '../src/lib/party';

describe('who may be called', () => {
  it.each(['2001', '+493012345678', 'sip:anna@example.net', 'sips:2001@192.0.2.1:5061'])('%s', (text) => {
    expect(isTarget(text)).toBe(true);
  });

  it.each([
    '',
    '1',
    '123456789',
    '+0301234567',
    '03012345678',
    'anna',
    'sip:',
    'sip:a b@c',
    '+49<script>',
  ])('not %s', (text) => {
    expect(isTarget(text)).toBe(false);
  });

  it('is tidied from how people write numbers', () => {
    expect(tidyTarget(' +49 (30) 123-456.78 ')).toBe('+493012345678');
    expect(tidyTarget('0049 30 12345678')).toBe('+493012345678');
    expect(tidyTarget(' sip:a-b.c@example.net ')).toBe('sip:a-b.c@example.net');
  });
});
