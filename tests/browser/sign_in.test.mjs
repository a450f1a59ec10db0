// What is shown without a session: the sign-in page, and the page of an address that does not exist.

import assert from 'node:assert/strict';
import { NARROWEST, assertAccessible, assertFitsNarrowest, pageTest, tabTo, takeScreenshots } from './page.mjs';

pageTest('the sign-in page is accessible and fits the narrowest screen', {}, async (page) => {
  await page.goto('/sign-in');
  assert.equal(await page.getByRole('heading', { level: 1 }).textContent(), 'Sign in');
  await assertAccessible(page);
  await assertFitsNarrowest(page);
  await takeScreenshots(page, 'sign-in');
});

pageTest('a session that has ended is said in words', {}, async (page) => {
  await page.goto('/sign-in?expired&return_to=/explore');
  await page.getByText('Your session has ended.').waitFor();
  assert.equal(await page.locator('[name=return_to]').inputValue(), '/explore');
  await assertAccessible(page);
  await assertFitsNarrowest(page);
  await takeScreenshots(page, 'sign-in-expired');
});

pageTest('the keyboard is enough to sign in', { viewport: { width: NARROWEST, height: 640 } }, async (page) => {
  await page.goto('/sign-in');
  await tabTo(page, '.skip-link');
  await tabTo(page, '#token');
  await page.keyboard.type('sst_typed');
  assert.equal(await page.getByLabel('Token').inputValue(), 'sst_typed');
  await tabTo(page, 'form button');
});

pageTest('the sign-in page works without JavaScript', { javaScriptEnabled: false }, async (page) => {
  await page.goto('/sign-in');
  await page.getByLabel('Token').fill('sst_typed');
  const form = page.locator('form');
  assert.equal(await form.getAttribute('method'), 'post');
  assert.equal(await form.getAttribute('action'), '/sign-in');
  await page.getByRole('button', { name: 'Sign in' }).waitFor();
});

pageTest('an address that does not exist leads on', { complaints: [/status of 404/] }, async (page) => {
  const answer = await page.goto('/nothing');
  assert.equal(answer.status(), 404);
  await assertAccessible(page);
  await assertFitsNarrowest(page);
  await page.getByRole('link', { name: 'Go to the overview' }).click();
  await page.waitForURL('**/sign-in?return_to=*');
});
