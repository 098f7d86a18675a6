// The console in Chromium against a running gateway:
//   SWITCHHOOK_BASE_URL=http://127.0.0.1:8080 npm run e2e
// Further variables: e2e/browser.mjs (login), e2e/gateway.ts (how a call is placed).
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { BASE_URL, openBrowser, signIn, USERNAME } from './browser.mjs';
import { LiveCall, until } from './gateway';

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let context: BrowserContext;
let page: Page;
let close: () => Promise<void>;
const complaints: string[] = [];

/** Everything the browser complains about counts, except what `expected` was provoked by the test. */
function listen(to: Page, expected = (_text: string) => false): void {
  to.on('console', (message) => {
    if (message.type() !== 'error' && message.type() !== 'warning') return;
    if (!expected(message.text())) complaints.push(`console: ${message.text()} (${message.location().url})`);
  });
  to.on('pageerror', (error) => complaints.push(`page: ${error.message}`));
}

beforeAll(async () => {
  ({ context, close } = await openBrowser({ viewport: { width: 1440, height: 900 } }));
  page = context.pages()[0] ?? (await context.newPage());
  listen(page);
  await page.exposeFunction('reportViolation', (text: string) => complaints.push(`policy: ${text}`));
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      (window as unknown as { reportViolation(text: string): void }).reportViolation(
        `${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`,
      );
    });
  });
});
afterAll(async () => {
  await close?.();
});
afterEach(() => {
  expect(complaints.splice(0)).toEqual([]);
});

const calls: LiveCall[] = [];
async function place(): Promise<LiveCall> {
  const call = await LiveCall.place();
  calls.push(call);
  return call;
}
afterAll(async () => {
  for (const call of calls) await call.cleanUp();
});

const row = (call: LiveCall) => page.locator(`tr[data-call="${call.id}"]`);
const openList = async () => {
  await page.goto(`${BASE_URL}/`);
  await page.locator('.link-state[data-state="live"]').waitFor();
};

async function axe(what: string, on = page): Promise<void> {
  await on.evaluate(axeSource);
  const found = await on.evaluate(async () => {
    const { violations } = await (
      window as unknown as {
        axe: {
          run(): Promise<{ violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] }>;
        };
      }
    ).axe.run();
    return violations.map((one) => `${one.id}: ${one.nodes[0]?.html} ${one.nodes[0]?.failureSummary}`);
  });
  expect(found, what).toEqual([]);
}

describe('signing in', () => {
  it('says in words when the password is wrong, then lets in', async () => {
    const other = await context.newPage();
    listen(other, (text) => text.includes('401'));
    await other.goto(BASE_URL);
    await other.fill('#username', USERNAME);
    await other.fill('#password', 'certainly wrong');
    await other.press('#password', 'Enter');
    await other.getByRole('alert').waitFor();
    expect(await other.getByRole('alert').textContent()).toContain('wrong');
    await axe('login', other);
    await other.close();
    await signIn(page);
    expect(await page.title()).toContain('Calls');
  });
});

describe('the list', () => {
  it('shows a new call without a reload', async () => {
    await openList();
    await page.evaluate(() => {
      document.documentElement.dataset.untouched = 'yes';
    });
    const call = await place();
    await row(call).waitFor();
    expect(await page.evaluate(() => document.documentElement.dataset.untouched)).toBe('yes');
  });

  it('ends a call by the keyboard alone', async () => {
    const call = await place();
    await openList();
    await row(call).waitFor();
    await until('focus on the row', async () => {
      const at = await page.evaluate(() => document.activeElement?.closest('tr')?.dataset.call);
      if (at === call.id) return true;
      await page.keyboard.press('ArrowDown');
      return undefined;
    });
    await page.keyboard.press('e');
    const dialog = page.getByRole('dialog');
    await dialog.waitFor();
    await axe('end dialog');
    // Cancel has the focus first: nothing ends by a single key.
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await dialog.waitFor({ state: 'detached' });
    await page.locator(`tr[data-call="${call.id}"][data-status="ended"]`).waitFor();
    expect(await call.status()).toBe('ended');
  });

  it('keeps its filters in the address', async () => {
    await openList();
    // The key works as soon as the list is there, which may be after the header.
    await page.locator('input[type=search]').waitFor();
    await page.keyboard.press('/');
    await page.locator('input[type=search]:focus').waitFor();
    await page.keyboard.type('nobody has this number');
    await page.waitForURL(/q=nobody/);
    await page.locator('.blank').waitFor();
    await page.reload();
    expect(await page.locator('input[type=search]').inputValue()).toBe('nobody has this number');
    await axe('no call matches');
  });
});

describe('a call', () => {
  it('is read by the keyboard: ladder, message, and back', async () => {
    const call = await place();
    await openList();
    await row(call).locator('a.call-link').press('Enter');
    await page.waitForURL(/\/console\/calls\//);
    expect((await page.locator('h1').textContent())?.length).toBeGreaterThan(3);
    const first = page.locator('button.ladder-row').first();
    await first.waitFor();
    await first.focus();
    await page.keyboard.press('Enter');
    await page.locator('aside.wire').waitFor();
    await axe('call with a message open');
    await page.keyboard.press('Escape');
    await page.locator('aside.wire').waitFor({ state: 'detached' });
    expect(await page.evaluate(() => document.activeElement?.className)).toContain('ladder-row');
  });

  it('is ended from its own page, in German', async () => {
    const call = await place();
    await page.goto(`${BASE_URL}/console/calls/${call.id}`);
    await page.locator('h1').waitFor();
    await page.getByLabel('Language').selectOption('de');
    expect(await page.getAttribute('html', 'lang')).toBe('de');
    await page.keyboard.press('Escape');
    await page.locator('h1').click();
    await page.keyboard.press('e');
    await page.getByRole('dialog', { name: 'Diesen Anruf beenden?' }).waitFor();
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.locator('.call-title').getByText('Beendet', { exact: true }).waitFor();
    await axe('ended call in German');
    await page.getByLabel('Sprache').selectOption('en');
    expect(await page.getAttribute('html', 'lang')).toBe('en');
  });

  it('that nobody knows is a page, not a fault', async () => {
    const other = await context.newPage();
    listen(other, (text) => text.includes('404'));
    await signIn(other, '/console/calls/call_nobodyknows');
    await other.getByText('This call is not here').waitFor();
    await axe('unknown call', other);
    await other.close();
  });
});

describe('every page', () => {
  const pages = ['/', '/console/messages', '/console/extensions', '/console/health', '/console/nowhere'];

  it.each(['light', 'dark'] as const)('is clean for axe, %s, in both languages', async (colorScheme) => {
    await page.emulateMedia({ colorScheme });
    for (const path of pages) {
      await page.goto(BASE_URL + path);
      await page.locator('h1, h2').first().waitFor();
      for (const language of ['de', 'en']) {
        await page.locator('.setting select').first().selectOption(language);
        await axe(`${path} ${language} ${colorScheme}`);
      }
    }
    await page.emulateMedia({ colorScheme: null });
  });

  it.each([360, 768, 2560])('fits a width of %i', async (width) => {
    const call = calls[0] ?? (await place());
    await page.setViewportSize({ width, height: 800 });
    for (const path of [...pages, `/console/calls/${call.id}`]) {
      await page.goto(BASE_URL + path);
      await page.locator('h1, h2').first().waitFor();
      const wide = await page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      );
      expect(wide, `${path} at ${width}`).toBeLessThanOrEqual(0);
    }
    await page.setViewportSize({ width: 1440, height: 900 });
  });
});

describe('without a connection', () => {
  it('says so, keeps what it shows, and comes back by itself', async () => {
    const other = await context.newPage();
    listen(other, (text) => text.includes('ERR_'));
    await other.route('**/api/events', (route) => route.abort());
    await signIn(other);
    await other.locator('.offline-bar').waitFor();
    await other.locator('tr.call-row').first().waitFor();
    await other.locator('.offline-bar button').click();
    await other.unroute('**/api/events');
    await other.locator('.link-state[data-state="live"]').waitFor();
    await other.locator('.offline-bar').waitFor({ state: 'detached' });
    await other.close();
  });
});
