// Explore: from a question to its CSV, and down to one charge.

import assert from 'node:assert/strict';
import { ask, assertAccessible, assertFitsNarrowest, day, money, pageTest, signIn, takeScreenshots } from './page.mjs';

const { CONNECTION } = process.env;
const THIRTY_DAYS = { connection_id: CONNECTION, date_from: day(29), date_to: day(0) };

/** Fills in the blank condition and applies it. */
async function addCondition(page, key, value) {
  await page.locator('#condition-0-0-key').selectOption(key);
  await page.locator('#condition-0-0-value').fill(value);
  await page.getByRole('button', { name: 'Apply' }).click();
  await page.waitForURL((url) => url.searchParams.get(key) === value);
}

pageTest('a group is narrowed down by clicks, and its CSV has the same figures', {}, async (page) => {
  await signIn(page);
  await page.getByRole('link', { name: 'Explore' }).click();
  await page.getByLabel('Group by').selectOption('metadata:charge.tier');
  await page.getByRole('button', { name: 'Group' }).click();
  await takeScreenshots(page, 'explore');
  await assertAccessible(page);
  await assertFitsNarrowest(page);
  await page.getByRole('rowheader').getByRole('link', { name: 'pro', exact: true }).first().click();
  await page.waitForURL(/metadata\.charge\.tier=pro/);
  assert.equal(await page.locator('#condition-0-0-value').inputValue(), 'pro');
  await page.getByLabel('Group by').selectOption('country');
  await page.getByRole('button', { name: 'Group' }).click();
  const downloading = page.waitForEvent('download');
  await page.getByRole('link', { name: 'Download as CSV' }).click();
  const text = (await (await (await downloading).createReadStream()).toArray()).join('');
  const [heading, ...rows] = text.trim().split('\n').map((line) => line.split(','));
  assert.equal(heading[0], 'Country');
  const report = await ask('/v1/analytics/stripe', {
    ...THIRTY_DAYS, group_by: 'country', 'metadata.charge.tier': 'pro', limit: 1000,
  });
  const expected = report.groups.map(({ key, currency, charges }) => [key ?? '', currency, String(charges)]);
  assert.deepEqual(rows.map(([key, currency, , , , charges]) => [key, currency, charges]), expected);
});

pageTest('a condition is added by the form, and the totals are those of the API', {}, async (page) => {
  await signIn(page);
  await page.goto('/explore?range=30d');
  await addCondition(page, 'field.country', 'DE');
  const { totals } = await ask('/v1/analytics/stripe', { ...THIRTY_DAYS, 'field.country': 'DE' });
  for (const total of totals.filter(({ currency }) => currency === 'usd')) {
    assert.equal(await page.locator(`[data-figure=net-${total.currency}]`).textContent(), money(total));
  }
});

pageTest('revenue by one key last month, under a condition on another, as CSV', {}, async (page) => {
  await signIn(page);
  await page.getByRole('link', { name: 'Explore' }).click();
  await page.getByRole('link', { name: 'Last month' }).click();
  await page.getByLabel('Group by').selectOption('metadata:charge.tier');
  await page.getByRole('button', { name: 'Group' }).click();
  await addCondition(page, 'metadata.charge.vip', 'true');
  const downloading = page.waitForEvent('download');
  await page.getByRole('link', { name: 'Download as CSV' }).click();
  const text = (await (await (await downloading).createReadStream()).toArray()).join('');
  const rows = text.trim().split('\n').slice(1).map((line) => line.split(','));
  const today = new Date();
  const month = (back) => new Date(Date.UTC(today.getUTCFullYear(), today.getUTCMonth() - back, 1));
  const [first, next] = [month(1), month(0)];
  const last = new Date(next.getTime() - 86_400_000);
  const report = await ask('/v1/analytics/stripe', {
    connection_id: CONNECTION, date_from: first.toISOString().slice(0, 10), date_to: last.toISOString().slice(0, 10),
    group_by: 'metadata:charge.tier', 'metadata.charge.vip': 'true', limit: 1000,
  });
  assert.ok(report.groups.length > 0);
  const expected = report.groups.map(({ key, currency, charges }) => [key ?? '', currency, String(charges)]);
  assert.deepEqual(rows.map(([key, currency, , , , charges]) => [key, currency, charges]), expected);
});

pageTest('one charge says why it counts', {}, async (page) => {
  await signIn(page);
  await page.goto('/explore?range=30d');
  await page.getByRole('link', { name: 'Show the charges' }).click();
  await assertAccessible(page);
  await assertFitsNarrowest(page);
  await takeScreenshots(page, 'charges');
  const link = page.locator('tbody a').first();
  const charge = await link.textContent();
  await link.click();
  await page.getByText(charge, { exact: true }).waitFor();
  const explained = await ask(`/v1/connectors/${CONNECTION}/charges/${charge}/explain`);
  await page.getByText(explained.detail).waitFor();
  const lines = explained.rows;
  const amount = money({ net: lines.reduce((sum, line) => sum + line.amount, 0), currency: lines[0].currency });
  assert.equal(await page.getByRole('heading', { level: 1 }).textContent(), amount);
  await assertAccessible(page);
  await assertFitsNarrowest(page);
  await takeScreenshots(page, 'charge');
});

pageTest('exploring works without JavaScript', { javaScriptEnabled: false }, async (page) => {
  await signIn(page);
  await page.goto('/explore');
  await page.getByLabel('Group by').selectOption('month');
  await page.getByRole('button', { name: 'Group' }).click();
  assert.match(page.url(), /group_by=month/);
  await page.getByRole('columnheader', { name: 'Month' }).first().waitFor();
});

pageTest('the page of a charge shows each refund', {}, async (page) => {
  const { data } = await ask('/v1/analytics/stripe/charges', { connection_id: CONNECTION, limit: 1000 });
  const { charge_id: charge } = data.find((row) => row.refunded > 0);
  const { refunds } = await ask(`/v1/connectors/${CONNECTION}/charges/${charge}/explain`);
  await signIn(page);
  await page.goto(`/charges/${charge}?connection_id=${CONNECTION}`);
  const rows = page.getByRole('region', { name: 'Refunds' }).getByRole('rowheader');
  assert.deepEqual(await rows.allTextContents(), refunds.map((refund) => refund.refund_id));
  await assertAccessible(page);
  await assertFitsNarrowest(page);
  await takeScreenshots(page, 'charge-refunds');
});
