// The page of restatements, which Explore leads to: refunds of days that had been synced.

import assert from 'node:assert/strict';
import {
  TOKEN, assertAccessible, assertFitsNarrowest, pageTest, signInWith, takeScreenshots,
} from './page.mjs';

pageTest('Explore leads to what changed later, with a row for each day', {}, async (page) => {
  await signInWith(page, TOKEN, '/explore');
  await page.getByRole('link', { name: 'What changed later' }).click();
  assert.equal(await page.getByRole('heading', { level: 1 }).textContent(), 'What changed later');
  const days = page.getByRole('region', { name: 'Changes by day' }).locator('tbody tr');
  assert.equal(await days.count(), 6);
  assert.match(await days.first().locator('td').last().textContent(), /2\.40/);
  await assertAccessible(page);
  await assertFitsNarrowest(page);
  await takeScreenshots(page, 'restatements');
});

pageTest('a restatement names the refund and leads to its charge, without JavaScript', {
  javaScriptEnabled: false,
}, async (page) => {
  await signInWith(page, TOKEN, '/restatements');
  const newest = page.locator('#restatements li').first();
  assert.match(await newest.textContent(), /refund re_/);
  const charge = newest.getByRole('link', { name: /^charge ch_/ });
  const name = (await charge.textContent()).replace('charge ', '');
  await charge.click();
  await page.getByText(name).first().waitFor();
});
