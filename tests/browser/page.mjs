// What the browser tests share: one browser for each file, and pages that are watched while a test uses them. A test
// fails on whatever the browser complains of: an error in its console, a breach of the content security policy, a
// request to another host. Started by tests/src/browser.rs, which says in the environment where the API is.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import axe from 'axe-core';
import { chromium } from 'playwright-core';

export const BASE_URL = setting('BASE_URL');
// An administrator's token.
export const TOKEN = setting('TOKEN');
export const THEMES = ['light', 'dark'];
export const NARROWEST = 320;
const WIDTHS = [NARROWEST, 768, 1440];
const HEIGHT = 900;

let browser;

before(async () => {
  // Chromium's sandbox refuses to run as root.
  const args = process.getuid() === 0 ? ['--no-sandbox'] : [];
  browser = await chromium.launch({ executablePath: setting('CHROMIUM'), args });
});

after(async () => browser?.close());

function setting(name) {
  const value = process.env[name];
  assert.ok(value, `${name} is not set: run these tests by scripts/test -E 'test(/browser_/)'`);
  return value;
}

/**
 * A test with a page of its own. `options` are those of a browser context; `complaints` are patterns of what the
 * browser may complain of in this test, such as the status of a page that is asked for in vain.
 */
export function pageTest(name, { complaints = [], ...options }, body) {
  test(name, async () => {
    const context = await browser.newContext({ baseURL: BASE_URL, reducedMotion: 'reduce', ...options });
    try {
      const heard = await listen(context);
      await body(await context.newPage());
      const unexpected = heard.filter((text) => !complaints.some((pattern) => pattern.test(text)));
      assert.deepEqual(unexpected, []);
    } finally {
      await context.close();
    }
  });
}

/** What the browser complains of from now on. */
async function listen(context) {
  const heard = [];
  const host = new URL(BASE_URL).host;
  context.on('console', (message) => {
    if (message.type() === 'error') heard.push(message.text());
  });
  context.on('weberror', (event) => heard.push(String(event.error())));
  context.on('request', (request) => {
    const url = new URL(request.url());
    if (url.protocol !== 'data:' && url.host !== host) heard.push(`asks another host: ${url}`);
  });
  await context.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      console.error(`breaks the policy: ${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  return heard;
}

/** Fails on whatever axe finds, in both themes. */
export async function assertAccessible(page) {
  for (const colorScheme of THEMES) {
    await page.emulateMedia({ colorScheme });
    // As the debugger does it, which the policy of the page does not forbid.
    await page.evaluate(axe.source);
    const { violations } = await page.evaluate(() => globalThis.axe.run());
    const found = violations.map(({ id, nodes }) => [id, nodes.map((node) => `${node.html}: ${node.failureSummary}`)]);
    assert.deepEqual(found, [], `${colorScheme}: ${page.url()}`);
  }
}

/** Fails if the page is wider than the narrowest screen, or a cell of a table is cut off there. */
export async function assertFitsNarrowest(page) {
  const size = page.viewportSize();
  await page.setViewportSize({ width: NARROWEST, height: HEIGHT });
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= NARROWEST, `${page.url()} is ${width} px wide`);
  assert.deepEqual(await cellsBeyond(page, NARROWEST), [], `${page.url()}: cells that are cut off`);
  if (size) await page.setViewportSize(size);
}

/** The cells of tables, those in closed details too, of which a part lies beyond a width. */
async function cellsBeyond(page, width) {
  return page.evaluate((limit) => {
    const closed = [...document.querySelectorAll('details:not([open])')];
    closed.forEach((details) => { details.open = true; });
    const isCut = (cell) => {
      const content = document.createRange();
      content.selectNodeContents(cell);
      return [content, cell].some((it) => {
        const { left, right } = it.getBoundingClientRect();
        return left < 0 || right > limit;
      });
    };
    const cells = [...document.querySelectorAll('td, th')].filter((cell) => cell.checkVisibility());
    const found = cells.filter(isCut).map((cell) => cell.textContent.trim());
    closed.forEach((details) => { details.open = false; });
    return found;
  }, width);
}

/** Presses Tab until an element has the focus, and fails where the focus is not to be seen. */
export async function tabTo(page, selector) {
  for (let presses = 0; presses < 50; presses += 1) {
    await page.keyboard.press('Tab');
    const reached = await page.evaluate((wanted) => {
      const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
      const shown = outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2;
      return document.activeElement.matches(wanted) ? { shown } : null;
    }, selector);
    if (reached) {
      assert.ok(reached.shown, `${selector} does not show that it has the focus`);
      return;
    }
  }
  assert.fail(`the keyboard does not reach ${selector}`);
}

/** Takes pictures of the page at all widths in both themes, where SCREENSHOTS names a directory for them. */
export async function takeScreenshots(page, name) {
  const directory = process.env.SCREENSHOTS;
  if (!directory) return;
  mkdirSync(directory, { recursive: true });
  for (const width of WIDTHS) {
    for (const colorScheme of THEMES) {
      await page.setViewportSize({ width, height: HEIGHT });
      await page.emulateMedia({ colorScheme });
      await page.screenshot({ path: join(directory, `${name}-${width}-${colorScheme}.png`), fullPage: true });
    }
  }
}

/** What every page has to be: accessible, whole on the narrowest screen, and worth a look. */
export async function assertGoodPage(page, name) {
  await assertAccessible(page);
  await assertFitsNarrowest(page);
  await takeScreenshots(page, name);
}

/** Signs in with the administrator's token, which ends on the overview. */
export async function signIn(page) {
  await page.goto('/sign-in');
  await page.getByLabel('Token').fill(TOKEN);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { level: 1 }).waitFor();
}

/** Signs in with a token on the way to a page. */
export async function signInWith(page, token, path) {
  await page.goto(`/sign-in?return_to=${encodeURIComponent(path)}`);
  await page.getByLabel('Token').fill(token);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.waitForURL(`**${path}`);
}

/** What the API answers, which the pages have to agree with. */
export async function ask(path, parameters = {}) {
  const url = new URL(path, BASE_URL);
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  const answer = await fetch(url, { headers: { authorization: `Bearer ${TOKEN}` } });
  assert.equal(answer.status, 200, `${url}: ${await answer.clone().text()}`);
  return answer.json();
}

/** The day so many days ago. */
export function day(back) {
  const date = new Date(Date.now() - back * 86_400_000);
  return date.toISOString().slice(0, 10);
}

/** Net revenue of a currency, as pages show it in English. */
export function money({ net, currency }) {
  const decimals = currency === 'jpy' ? 0 : 2;
  const number = (net / 10 ** decimals).toLocaleString('en-US', { minimumFractionDigits: decimals });
  return `${number.replace('-', '\u2212')}\u{a0}${currency.toUpperCase()}`;
}
