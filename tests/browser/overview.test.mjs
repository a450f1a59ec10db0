// The overview: the figures of the API, what a click on a value does, a refund that arrives while one looks.

import assert from 'node:assert/strict';
import {
  ask, assertAccessible, assertFitsNarrowest, day, money, pageTest, signIn, tabTo, takeScreenshots,
} from './page.mjs';

const { SIMULATOR, CONNECTION } = process.env;

/** Totals of the last so many days in the currency that the overview shows first. */
async function totals(days, parameters = {}) {
  const range = { date_from: day(days - 1), date_to: day(0) };
  const report = await ask('/v1/analytics/stripe', { connection_id: CONNECTION, ...range, ...parameters });
  return report.totals.toSorted((one, other) => other.charges - one.charges)[0];
}

pageTest('the overview shows the figures of the API and is accessible', {}, async (page) => {
  await signIn(page);
  await page.goto('/?range=30d');
  assert.equal(await page.locator('[data-figure=net]').textContent(), money(await totals(30)));
  await page.getByText(/Complete up to (now|\d+ (second|minute)s? ago)/).waitFor();
  await assertAccessible(page);
  await assertFitsNarrowest(page);
  await takeScreenshots(page, 'overview');
});

pageTest('the first view of the overview is small, and nothing moves while it loads', {}, async (page) => {
  await page.addInitScript(() => {
    globalThis.shifted = 0;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) globalThis.shifted += entry.value;
    }).observe({ type: 'layout-shift', buffered: true });
  });
  await signIn(page);
  const [bytes, shifted] = await page.evaluate(() => {
    const loaded = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
    return [loaded.reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0), globalThis.shifted];
  });
  assert.ok(bytes > 10_000 && bytes <= 80_000, `${bytes} bytes`);
  assert.equal(shifted, 0);
});

pageTest('a value of a list filters the page, and the filter can be removed', {}, async (page) => {
  await signIn(page);
  await page.goto('/?range=30d&key=charge.tier');
  const row = page.locator('section', { hasText: 'charge.tier' }).locator('a').first();
  const value = await row.textContent();
  await row.click();
  await page.getByText(`charge.tier is ${value}`).waitFor();
  const filtered = await totals(30, { 'metadata.charge.tier': value });
  assert.equal(await page.locator('[data-figure=net]').textContent(), money(filtered));
  await assertAccessible(page);
  await page.getByRole('link', { name: `Remove: charge.tier is ${value}` }).click();
  assert.equal(await page.locator('[data-figure=net]').textContent(), money(await totals(30)));
});

pageTest('the CSV has the net revenue of every period', {}, async (page) => {
  await signIn(page);
  await page.goto('/?range=7d');
  const downloading = page.waitForEvent('download');
  await page.getByRole('link', { name: 'Download as CSV' }).click();
  const stream = await (await downloading).createReadStream();
  const text = (await stream.toArray()).join('');
  const [heading, ...rows] = text.trim().split('\n').map((line) => line.split(','));
  assert.deepEqual(heading, [
    'days', 'currency', 'gross', 'refunded', 'net', 'charges', 'units', 'disputed_amount', 'dispute_fee',
  ]);
  const expected = await totals(7);
  const cents = rows
    .filter(([, currency]) => currency === expected.currency)
    .reduce((sum, [, , , , net]) => sum + Math.round(Number(net) * 100), 0);
  assert.equal(cents, expected.net);
});

pageTest('a refund arrives on the overview without reloading', {}, async (page) => {
  await signIn(page);
  await page.goto('/?range=12m');
  await page.evaluate(() => { globalThis.notReloaded = true; });
  const figure = page.locator('[data-figure=net]');
  const before = await figure.textContent();
  const { currency } = await totals(365);
  const rows = await ask('/v1/analytics/stripe/charges', { connection_id: CONNECTION, currency, limit: 200 });
  const charge = rows.data.find((row) => row.counted && row.refunded === 0 && row.amount > 1_000 && !row.disputed);
  const refunded = await fetch(`${SIMULATOR}/_sim/charges/${charge.charge_id}/refund`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"amount": 777}',
  });
  assert.ok(refunded.ok, await refunded.text());
  await page.waitForFunction((text) => document.querySelector('[data-figure=net]').textContent !== text, before);
  assert.equal(await figure.textContent(), money(await totals(365)));
  assert.ok(await page.evaluate(() => globalThis.notReloaded));
});

pageTest('the overview works without JavaScript, and its state is in the address', { javaScriptEnabled: false }, async (page) => {
  await signIn(page);
  await page.getByRole('link', { name: '7 days' }).click();
  await page.getByRole('link', { name: 'year before' }).click();
  assert.equal(new URL(page.url()).search, '?range=7d&compare=previous_year');
  await page.getByText('The days to compare with are not in the stored history.').waitFor();
  assert.equal(await page.locator('[data-figure=net]').textContent(), money(await totals(7)));
});

pageTest('the keyboard is enough to choose other days', {}, async (page) => {
  await signIn(page);
  await tabTo(page, '.choice[href*="range=7d"]');
  await page.keyboard.press('Enter');
  await page.waitForURL('**/?range=7d');
});
