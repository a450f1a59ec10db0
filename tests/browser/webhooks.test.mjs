// The pages of webhooks: the list with its statistics, one event, and replaying.

import assert from 'node:assert/strict';
import {
  NARROWEST, TOKEN, assertAccessible, assertFitsNarrowest, pageTest, signInWith, tabTo,
  takeScreenshots,
} from './page.mjs';

pageTest('the list is accessible and fits the narrowest screen', {}, async (page) => {
  await signInWith(page, TOKEN, '/webhooks');
  assert.equal(await page.getByRole('heading', { level: 1 }).textContent(), 'Webhooks');
  await page.getByText('events failed.').waitFor();
  await assertAccessible(page);
  await assertFitsNarrowest(page);
  await takeScreenshots(page, 'webhooks');
  await page.goto('/webhooks?status=dead');
  await assertAccessible(page);
  await takeScreenshots(page, 'webhooks-dead');
});

pageTest('an event that was applied links to what it changed', {}, async (page) => {
  // Events of objects that are not read change nothing.
  await signInWith(page, TOKEN, '/webhooks?status=processed&type=charge.succeeded');
  await page.getByRole('region', { name: 'Events' }).getByRole('link').first().click();
  const changed = page.getByRole('link', { name: /^(ch|re|cus)_/ });
  assert.match(await changed.first().getAttribute('href'), /^https:\/\/dashboard\.stripe\.com\/test\//);
  await assertAccessible(page);
  await assertFitsNarrowest(page);
  await takeScreenshots(page, 'webhook-event');
});

pageTest('the keyboard replays a dead event, which is seen to be applied', {
  viewport: { width: NARROWEST, height: 640 },
}, async (page) => {
  await signInWith(page, TOKEN, '/webhooks?status=dead');
  await page.getByRole('region', { name: 'Events' }).getByRole('link').first().click();
  await page.getByText('Stripe did not answer in time').first().waitFor();
  await assertAccessible(page);
  await assertFitsNarrowest(page);
  await takeScreenshots(page, 'webhook-event-dead');
  await page.setViewportSize({ width: NARROWEST, height: 640 });
  await tabTo(page, 'main form button');
  await page.keyboard.press('Enter');
  await page.locator('#state').getByText('Applied').waitFor();
});

pageTest('all that match are replayed after a count, without JavaScript', { javaScriptEnabled: false }, async (page) => {
  await signInWith(page, TOKEN, '/webhooks?status=dead');
  await page.getByRole('link', { name: 'Replay all that match' }).click();
  assert.equal(await page.getByRole('heading', { level: 1 }).textContent(), 'Replay 1 event?');
  await page.getByRole('button', { name: 'Replay' }).click();
  await page.waitForURL('**/webhooks?replayed=1');
  await page.getByText('1 event is replayed.').waitFor();
});

pageTest('the question before replaying is accessible', {}, async (page) => {
  await signInWith(page, TOKEN, '/webhooks/replay?status=processed&type=charge.succeeded');
  await page.getByRole('heading', { name: /^Replay \d+ events\?$/ }).waitFor();
  await assertAccessible(page);
  await assertFitsNarrowest(page);
  await takeScreenshots(page, 'webhook-replay');
});
