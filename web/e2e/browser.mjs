// Chromium from the system, with a profile of its own that is thrown away.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--autoplay-policy=no-user-gesture-required',
];

/**
 * A browser context; `close` removes its profile, too.
 * @param {Parameters<typeof chromium.launchPersistentContext>[1]} options
 */
export async function openBrowser(options = {}) {
  const profile = mkdtempSync(join(tmpdir(), 'switchhook-web-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    locale: 'en-GB',
    ...options,
    args: [...ARGS, ...(options.args ?? [])],
  });
  return {
    context,
    async close() {
      await context.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

export const BASE_URL = process.env.SWITCHHOOK_BASE_URL ?? 'http://127.0.0.1:8080';
export const USERNAME = process.env.SWITCHHOOK_E2E_USERNAME ?? 'operator';
export const PASSWORD = process.env.SWITCHHOOK_E2E_PASSWORD ?? 'operator';

/** @param {import('playwright-core').Page} page */
export async function signIn(page, path = '/') {
  await page.goto(BASE_URL + path);
  await page.fill('#username', USERNAME);
  await page.fill('#password', PASSWORD);
  await page.press('#password', 'Enter');
  await page.locator('main#main').waitFor();
}
