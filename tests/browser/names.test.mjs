// Products, prices and customers by name: in the groups, in the condition that a click adds, on a charge and in the CSV.

import assert from 'node:assert/strict';
import { ask, assertAccessible, assertFitsNarrowest, day, pageTest, signIn, tabTo, takeScreenshots } from './page.mjs';

const { CONNECTION } = process.env;
const THIRTY_DAYS = { connection_id: CONNECTION, date_from: day(29), date_to: day(0) };

/** The group with a name that earned most. */
async function best(by) {
  const { groups } = await ask('/v1/analytics/stripe', { ...THIRTY_DAYS, group_by: by, limit: 1000 });
  const found = groups.find(({ name }) => name);
  assert.ok(found, `no ${by} has a name`);
  return found;
}

pageTest('a product is known by its name, down to one charge', {}, async (page) => {
  const { key, name } = await best('product');
  await signIn(page);
  await page.goto('/explore?range=30d&group_by=product');
  await assertAccessible(page);
  await assertFitsNarrowest(page);
  await takeScreenshots(page, 'names-explore');
  const row = page.getByRole('rowheader').filter({ hasText: key }).first();
  await row.getByRole('link', { name, exact: true }).click();
  await page.getByText(`product is ${name}`).waitFor();
  await page.getByRole('link', { name: 'Show the charges' }).click();
  await page.getByRole('rowheader').filter({ hasText: name }).first().waitFor();
  await assertAccessible(page);
  await assertFitsNarrowest(page);
  await takeScreenshots(page, 'names-charges');
  await tabTo(page, 'tbody a');
  await page.keyboard.press('Enter');
  const product = page.getByRole('link', { name: `${name} ${key}` }).first();
  assert.match(await product.getAttribute('href'), new RegExp(`^https://dashboard\\.stripe\\.com/.*products/${key}$`));
  await assertAccessible(page);
  await assertFitsNarrowest(page);
  await takeScreenshots(page, 'names-charge');
});

pageTest('the overview ranks products by name', {}, async (page) => {
  const { name } = await best('product');
  await signIn(page);
  await page.goto('/?range=30d');
  await page.getByRole('listitem').getByRole('link', { name, exact: true }).waitFor();
  await takeScreenshots(page, 'names-overview');
});

pageTest('names need no JavaScript', { javaScriptEnabled: false }, async (page) => {
  const { key, name } = await best('customer');
  await signIn(page);
  await page.goto('/explore?range=30d&group_by=customer');
  await page.getByRole('rowheader').filter({ hasText: key }).getByText(name, { exact: true }).first().waitFor();
});
