// The lab's page in Chromium, against the real lab and a gateway that shares its account. The
// microphone is a recorded caller who asks for a human, over and over.
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openBrowser } from './browser.mjs';
import { api, until } from './gateway';

const LAB = process.env.SWITCHHOOK_LAB_URL ?? '';
/** Where pictures go, for looking at; none are taken without it. */
const SHOTS = process.env.LAB_SHOTS;
const CALLER = resolve('../e2e/speech/human-a.wav');
const SIZES = { desktop: { width: 1280, height: 900 }, phone: { width: 390, height: 844 } };
const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let context: BrowserContext;
let page: Page;
let close: () => Promise<void>;
const complaints: string[] = [];

async function open(locale: string): Promise<void> {
  ({ context, close } = await openBrowser({
    viewport: SIZES.desktop,
    locale,
    permissions: ['microphone'],
    args: [
      '--use-fake-device-for-media-stream',
      '--use-fake-ui-for-media-stream',
      `--use-file-for-fake-audio-capture=${CALLER}`,
    ],
  }));
  page = context.pages()[0] ?? (await context.newPage());
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => complaints.push(`page: ${error.message}`));
  await page.goto(LAB);
  await page.locator('#link[data-state="live"]').waitFor();
}

async function axe(what: string): Promise<void> {
  await page.evaluate(axeSource);
  const found = await page.evaluate(async () => {
    const { violations } = await (
      window as unknown as {
        axe: { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> };
      }
    ).axe.run();
    return violations.map((one) => `${one.id}: ${one.nodes[0]?.html}`);
  });
  expect(found, what).toEqual([]);
}

/** A picture in both sizes; and nothing may be wider than the screen. */
async function look(name: string): Promise<void> {
  for (const [size, viewport] of Object.entries(SIZES)) {
    await page.setViewportSize(viewport);
    const surplus = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    expect(surplus, `${name} at ${viewport.width} px`).toBeLessThanOrEqual(0);
    if (!SHOTS) continue;
    mkdirSync(SHOTS, { recursive: true });
    await page.screenshot({ path: join(SHOTS, `${name}-${size}.png`), fullPage: true });
  }
  await page.setViewportSize(SIZES.desktop);
}

const heard = (text: string) => page.locator('.said-said .words', { hasText: text }).first();
const ringing = later('.phone[data-state="ringing"]');
const talking = later('.phone[data-state="talking"]');

/** Locators belong to a page that is opened later. */
function later(selector: string) {
  return () => page.locator(selector);
}

/** Presses Tab until this has the focus. */
async function tabTo(selector: string): Promise<void> {
  await until(`focus on ${selector}`, async () => {
    if (await page.evaluate((wanted) => document.activeElement?.matches(wanted) ?? false, selector))
      return true;
    await page.keyboard.press('Tab');
    return undefined;
  });
}

describe.skipIf(!LAB)('the lab', () => {
  beforeAll(() => open('en-GB'));
  afterAll(() => close?.());
  afterEach(() => {
    expect(complaints.splice(0)).toEqual([]);
  });

  it('calls in and types, by the keyboard alone', async () => {
    expect(await page.title()).toBe('Switchhook Lab');
    await axe('before the call');
    await look('idle-en');
    // The number has the focus and is filled in.
    await page.keyboard.press('Enter');
    await heard('How can I help').waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type('What are your opening hours?');
    await page.keyboard.press('Enter');
    await page.locator('.said-mine .words', { hasText: 'opening hours' }).waitFor();
    // The reply: one more sentence of the carrier than before.
    await until('a reply', async () => ((await page.locator('.said-said').count()) > 1 ? true : undefined));
    await axe('in a call');
    await page.keyboard.press('Escape');
    await page.keyboard.press('h');
    await page.locator('#dial').waitFor();
  });

  it('is understood by microphone, rings at the page, is answered and hung up', {
    timeout: 150_000,
  }, async () => {
    await until('the speech server', async () => {
      const state = (await (await fetch(`${LAB}/lab/state`)).json()) as { speech: boolean };
      return state.speech || undefined;
    });
    await tabTo('#from');
    await page.keyboard.press('Enter');
    // Until then the call before is shown.
    await page.locator('#talk').waitFor();
    await heard('How can I help').waitFor();
    await page.keyboard.press('Escape');
    await page.keyboard.press('m');
    // Recognised on this machine, which may be busy.
    await ringing().waitFor({ timeout: 90_000 });
    await look('ringing-en');
    await page.keyboard.press('a');
    await talking().waitFor();
    await page.locator('.phone .ear[aria-pressed="true"]').waitFor();
    await axe('with a human');
    await until('the call with a human', async () => {
      const { items } = await api<{ items: { status: string; channel: string }[] }>('/api/calls?limit=20');
      return items.some((call) => call.status === 'with_agent') || undefined;
    });
    await look('talking-en');
    await page.keyboard.press('h');
    await page.locator('#dial').waitFor();
    await talking().waitFor({ state: 'detached' });
  });

  it('speaks German when asked to, and remembers it', async () => {
    await tabTo('[data-lang="de"]');
    await page.keyboard.press('Enter');
    expect(await page.evaluate(() => document.documentElement.lang)).toBe('de');
    expect(await page.locator('#caller-title').textContent()).toBe('Anrufen');
    await axe('in German');
    await look('idle-de');
    await page.reload();
    await page.locator('#link[data-state="live"]').waitFor();
    expect(await page.locator('#call').textContent()).toBe('Anrufen');
  });

  it('says in words what cannot be', async () => {
    await page.locator('#from').fill('nobody');
    await page.locator('#from').press('Enter');
    await page.locator('#alert', { hasText: 'Nummer' }).waitFor();
    // The browser tells the refusal, too.
    expect(complaints.splice(0).every((one) => one.includes('400'))).toBe(true);
  });
});

describe.skipIf(!LAB)('the lab in a German browser', () => {
  beforeAll(() => open('de-DE'));
  afterAll(() => close?.());

  it('greets in German', async () => {
    expect(await page.evaluate(() => document.documentElement.lang)).toBe('de');
    expect(await page.locator('#link').textContent()).toBe('verbunden');
  });
});
