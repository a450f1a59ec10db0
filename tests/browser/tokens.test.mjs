// The page of tokens: the list, creating one, and revoking it.

import assert from 'node:assert/strict';
import {
  NARROWEST, TOKEN, assertAccessible, assertFitsNarrowest, pageTest, tabTo, takeScreenshots,
} from './page.mjs';

async function openTokens(page) {
  await page.goto('/sign-in?return_to=/tokens');
  await page.getByLabel('Token').fill(TOKEN);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.waitForURL('**/tokens');
}

pageTest('the page is accessible, fits the narrowest screen and names what is wrong', {
  complaints: [/status of 422/],
}, async (page) => {
  await openTokens(page);
  await assertAccessible(page);
  await assertFitsNarrowest(page);
  await takeScreenshots(page, 'tokens');
  await page.getByLabel('Name', { exact: true }).fill(' ');
  await page.getByRole('button', { name: 'Create token' }).click();
  await page.getByText('Enter a name').waitFor();
  assert.equal(await page.getByLabel('Name', { exact: true }).getAttribute('aria-invalid'), 'true');
  await assertAccessible(page);
  await takeScreenshots(page, 'tokens-refused');
});

pageTest('the keyboard creates a token, which is shown once and signs in until it is revoked', {
  viewport: { width: NARROWEST, height: 640 },
}, async (page) => {
  await openTokens(page);
  await tabTo(page, '#name');
  await page.keyboard.type('Bookkeeping');
  await tabTo(page, 'main form button');
  await page.keyboard.press('Enter');
  const token = page.locator('#token');
  assert.match(await token.textContent(), /^sst_[0-9a-f]{64}$/);
  assert.ok(page.url().endsWith('/tokens'), page.url());
  await assertAccessible(page);
  await assertFitsNarrowest(page);
  await page.getByRole('link', { name: 'Back to the tokens' }).click();
  assert.ok(!(await page.content()).includes('sst_'));
  await page.getByRole('link', { name: 'Revoke Bookkeeping' }).click();
  await assertAccessible(page);
  await assertFitsNarrowest(page);
  await takeScreenshots(page, 'token-revoke');
  await page.getByRole('button', { name: 'Revoke token' }).click();
  await page.getByText('Revoked and expired tokens (1)').waitFor();
});

pageTest('a token is created and revoked without JavaScript', { javaScriptEnabled: false }, async (page) => {
  await openTokens(page);
  await page.getByLabel('Name', { exact: true }).fill('Reports');
  await page.getByLabel('Valid for').selectOption('One year');
  await page.getByRole('button', { name: 'Create token' }).click();
  await page.getByText('Copy it now.').waitFor();
  await page.getByRole('link', { name: 'Back to the tokens' }).click();
  await page.getByRole('link', { name: 'Revoke Reports' }).click();
  await page.getByRole('button', { name: 'Revoke token' }).click();
  await page.waitForURL('**/tokens');
});
