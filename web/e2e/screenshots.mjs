// Pictures of every page for looking at: `node e2e/screenshots.mjs OUT_DIR [page …]`.
// Pages: calls, bridged, message, violated, live, wire, messages, extensions, health, login, dialog, missing, empty.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { BASE_URL, openBrowser, signIn } from './browser.mjs';

const [out = 'screenshots', ...only] = process.argv.slice(2);
mkdirSync(out, { recursive: true });

const SIZES = { desktop: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } };
const wanted = (name) => only.length === 0 || only.includes(name);

async function openCall(page, text) {
  await page.goto(`${BASE_URL}/`);
  await page.locator('tr.call-row', { hasText: text }).first().locator('a.call-link').click();
  await page.locator('.ladder-rows').waitFor();
  await page.waitForLoadState('networkidle', { timeout: 3000 }).catch(() => {});
}

const PAGES = {
  calls: (page) => page.goto(`${BASE_URL}/`).then(() => page.locator('tr.call-row').first().waitFor()),
  bridged: (page) => openCall(page, 'Anna Berger'),
  message: (page) => openCall(page, 'Karl Sommer'),
  violated: (page) => openCall(page, '+12025550187'),
  live: (page) => openCall(page, 'Lena Hoffmann'),
  wire: async (page) => {
    await openCall(page, 'Anna Berger');
    await page.locator('button.ladder-row').first().click();
    await page.locator('.wire').waitFor();
  },
  messages: (page) =>
    page.goto(`${BASE_URL}/console/messages`).then(() => page.locator('.message').first().waitFor()),
  extensions: (page) =>
    page.goto(`${BASE_URL}/console/extensions`).then(() => page.locator('.extensions').waitFor()),
  health: (page) =>
    page.goto(`${BASE_URL}/console/health`).then(() => page.locator('.integration').first().waitFor()),
  dialog: async (page) => {
    await page.goto(`${BASE_URL}/`);
    await page.locator('tr.call-row').first().waitFor();
    await page.keyboard.press('n');
    await page.locator('dialog[open] .suggestion-list').waitFor();
  },
  missing: (page) =>
    page.goto(`${BASE_URL}/console/calls/call_missing`).then(() => page.locator('.blank').waitFor()),
  filtered: (page) =>
    page.goto(`${BASE_URL}/?q=nothing-like-it`).then(() => page.locator('.blank').waitFor()),
  first: (page) => page.goto(`${BASE_URL}/`).then(() => page.locator('.first-call').waitFor()),
};

for (const [size, viewport] of Object.entries(SIZES)) {
  for (const colorScheme of ['light', 'dark']) {
    const { context, close } = await openBrowser({
      viewport,
      colorScheme,
      locale: process.env.SHOT_LOCALE ?? 'en-GB',
      hasTouch: size === 'phone',
      isMobile: size === 'phone',
      deviceScaleFactor: Number(process.env.SHOT_SCALE ?? 1),
    });
    const page = context.pages()[0] ?? (await context.newPage());
    const shot = (name, fullPage) =>
      page.screenshot({ path: join(out, `${name}-${size}-${colorScheme}.png`), fullPage });
    if (wanted('login')) {
      await page.goto(`${BASE_URL}/`);
      await page.locator('#username').waitFor();
      await shot('login', false);
    }
    await signIn(page);
    for (const [name, open] of Object.entries(PAGES)) {
      if (!wanted(name) || (only.length === 0 && name === 'first')) continue;
      await open(page);
      await shot(name, ['bridged', 'message', 'violated', 'live'].includes(name));
    }
    await close();
  }
}
