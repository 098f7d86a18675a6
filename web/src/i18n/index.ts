import i18next from 'i18next';
import { initReactI18next } from 'react-i18next';
import de from './de.json';
import en from './en.json';

/** Each language by its own name. Arabic joins here with its file; the layout is ready for it. */
export const LANGUAGES = { en: 'English', de: 'Deutsch' } as const;
export type LanguageCode = keyof typeof LANGUAGES;

const STORAGE_KEY = 'switchhook.language';
const RIGHT_TO_LEFT = new Set(['ar', 'fa', 'he', 'ur']);

const isKnown = (code: string): code is LanguageCode => code in LANGUAGES;

/** A chosen language first, then the first of the browser's that we speak, then English. */
export function pickLanguage(chosen: string | null, wanted: readonly string[]): LanguageCode {
  for (const tag of [chosen ?? '', ...wanted]) {
    const code = tag.toLowerCase().split('-')[0] ?? '';
    if (isKnown(code)) return code;
  }
  return 'en';
}

function stored(): string | null {
  try {
    return localStorage.getItem(STORAGE_KEY);
  } catch {
    return null;
  }
}

function applyToDocument(code: string): void {
  document.documentElement.lang = code;
  document.documentElement.dir = RIGHT_TO_LEFT.has(code) ? 'rtl' : 'ltr';
}

export async function startI18n(): Promise<void> {
  const lng = pickLanguage(stored(), navigator.languages);
  applyToDocument(lng);
  await i18next.use(initReactI18next).init({
    resources: { en: { translation: en }, de: { translation: de } },
    lng,
    fallbackLng: 'en',
    // React escapes what it renders.
    interpolation: { escapeValue: false },
    returnNull: false,
  });
}

export async function changeLanguage(code: LanguageCode): Promise<void> {
  try {
    localStorage.setItem(STORAGE_KEY, code);
  } catch {
    // The choice then lasts until the page is closed.
  }
  await i18next.changeLanguage(code);
  applyToDocument(code);
}

/**
 * The locale for numbers and dates: the browser's regional form of the page's language, so that an
 * Austrian reads Austrian dates on the German page.
 */
export function formatLocale(language: string, wanted: readonly string[] = navigator.languages): string {
  return wanted.find((tag) => tag.toLowerCase().startsWith(`${language}-`)) ?? language;
}
