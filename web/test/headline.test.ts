import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import i18next from 'i18next';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Headline } from '../src/api/types';
import de from '../src/i18n/de.json';
import en from '../src/i18n/en.json';
import { headline, type Words } from '../src/lib/headline';

const instance = i18next.createInstance();

beforeAll(async () => {
  await instance.init({
    resources: { en: { translation: en }, de: { translation: de } },
    interpolation: { escapeValue: false },
    fallbackLng: 'en',
  });
});

function words(language: string): Words {
  const t = instance.getFixedT(language);
  return {
    t: (key, args) => t(key, args ?? {}) as string,
    exists: (key) => instance.exists(key, { lng: language }),
    language,
    locale: language,
  };
}

const say = (line: Headline | null, language = 'en') =>
  headline({ headline: line, status: 'ended', outcome: { code: 'message_taken' } }, words(language));

const toldAt = new Date(2026, 10, 21, 14, 3, 22).toISOString();
const nobody: Headline = {
  clauses: [
    { key: 'asked_for_human', args: { seconds: '18' } },
    { key: 'no_answer', args: { target: 'sip:2001@127.0.0.1:5060', seconds: '20' } },
    { key: 'message_taken', args: {} },
    { key: 'staff_told', args: { at: toldAt } },
  ],
  en: 'From the gateway.',
  de: 'Vom Gateway.',
};

describe('the head line', () => {
  it("says in one sentence what happened, in the reader's own time", () => {
    expect(say(nobody)).toBe(
      'Asked for a human after 18 s; 2001@127.0.0.1 did not answer in 20 s; left a message; staff told at 14:03:22',
    );
    expect(say(nobody, 'de')).toBe(
      'Wollte nach 18 s einen Menschen sprechen; 2001@127.0.0.1 nahm in 20 s nicht ab; hinterließ eine Nachricht; Team um 14:03:22 informiert',
    );
  });

  it("takes the gateway's wording when it does not know a clause", () => {
    const newer = { ...nobody, clauses: [...nobody.clauses, { key: 'beamed_up' }] };
    expect(say(newer)).toBe('From the gateway.');
    expect(say(newer, 'de')).toBe('Vom Gateway.');
  });

  it('words every clause that call control knows', () => {
    const source = readFileSync(join(import.meta.dirname, '../../crates/call/src/headline.rs'), 'utf8');
    const body = /pub enum ClauseKey \{([^}]*)\}/.exec(source)?.[1] ?? '';
    const keys = [...body.matchAll(/^ {4}(\w+),$/gm)].map((match) =>
      (match[1] ?? '').replace(/(?<!^)([A-Z])/g, '_$1').toLowerCase(),
    );
    expect(keys).toContain('asked_for_human');
    expect(keys.length).toBeGreaterThan(30);
    for (const language of [en, de]) {
      expect(keys.filter((key) => !(key in language.clause))).toEqual([]);
    }
  });

  it('says the outcome when there is no head line', () => {
    expect(say(null)).toBe('Message taken');
    expect(headline({ headline: null, status: 'with_agent', outcome: null }, words('de'))).toBe(
      'Beim Mitarbeiter',
    );
  });

  it('words causes', () => {
    const line = { clauses: [{ key: 'not_reached', args: { callee: '+4930123456', cause: 'busy' } }] };
    expect(say(line)).toBe('+4930123456 was not reached: busy');
  });
});
