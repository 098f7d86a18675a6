import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import i18next from 'i18next';
import { describe, expect, it } from 'vitest';
import { formatLocale, pickLanguage } from '../src/i18n';
import de from '../src/i18n/de.json';
import en from '../src/i18n/en.json';

type Tree = { [key: string]: string | Tree };

function flatten(tree: Tree, prefix = ''): Map<string, string> {
  const found = new Map<string, string>();
  for (const [key, value] of Object.entries(tree)) {
    if (typeof value === 'string') found.set(prefix + key, value);
    else for (const [inner, text] of flatten(value, `${prefix}${key}.`)) found.set(inner, text);
  }
  return found;
}

const english = flatten(en);
const german = flatten(de);
const placeholders = (text: string) =>
  [...text.matchAll(/\{\{(\w+)\}\}|<(\w+)>/g)].map((m) => m[0]).toSorted();

function sources(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return sources(path);
    return /\.tsx?$/.test(entry.name) ? [readFileSync(path, 'utf8')] : [];
  });
}

describe('the languages', () => {
  it('have the same keys', () => {
    expect([...german.keys()].toSorted()).toEqual([...english.keys()].toSorted());
  });

  it('leave no text empty and use the same placeholders', () => {
    for (const [key, text] of english) {
      const other = german.get(key) ?? '';
      expect(other.trim(), key).not.toBe('');
      expect(placeholders(other), key).toEqual(placeholders(text));
    }
  });

  it('hold every key the code names', () => {
    const known = (key: string) => english.has(key) || english.has(`${key}_other`);
    const missing = sources(join(import.meta.dirname, '../src'))
      .flatMap((text) => [...text.matchAll(/\bt\(\s*'([\w.]+)'/g)].map((match) => match[1] ?? ''))
      .filter((key) => !known(key));
    expect(missing).toEqual([]);
  });

  it('hold no key that nothing names', () => {
    const code = sources(join(import.meta.dirname, '../src')).join('\n');
    const unused = [...english.keys()].filter((key) => {
      const base = key.replace(/_(one|other)$/, '');
      const group = base.slice(0, base.lastIndexOf('.'));
      // Named in full, or chosen by a code of the API: `t(`group.${code}`)` or `word('group', code)`.
      return !(
        code.includes(`'${base}'`) ||
        code.includes(`\`${group}.\${`) ||
        code.includes(`word('${group}',`) ||
        code.includes(`i18nKey="${base}"`)
      );
    });
    expect(unused).toEqual([]);
  });

  it('count in both', async () => {
    await i18next.init({
      resources: { en: { translation: en }, de: { translation: de } },
      interpolation: { escapeValue: false },
      lng: 'de',
    });
    expect(i18next.t('calls.live_count', { count: 1 })).toBe('1 laufender Anruf');
    expect(i18next.t('calls.live_count', { count: 2, lng: 'en' })).toBe('2 live calls');
  });
});

describe('choosing a language', () => {
  it('prefers what was chosen, then the first wanted one we speak, then English', () => {
    expect(pickLanguage('de', ['en-US'])).toBe('de');
    expect(pickLanguage(null, ['fr-FR', 'de-AT', 'en'])).toBe('de');
    expect(pickLanguage('xx', ['fr'])).toBe('en');
  });

  it('formats with the regional form the reader asks for', () => {
    expect(formatLocale('de', ['en-US', 'de-AT'])).toBe('de-AT');
    expect(formatLocale('de', ['en-US'])).toBe('de');
  });
});
