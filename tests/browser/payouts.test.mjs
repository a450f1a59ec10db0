// Getting paid: onboarding at Stripe and back, what Stripe asks for, Stripe's form in a page, and disconnecting. Each test
// goes on where the one before it stopped: there is one account at a time.

import assert from 'node:assert/strict';
import {
  BASE_URL, NARROWEST, assertAccessible, assertFitsNarrowest, pageTest, signIn, tabTo, takeScreenshots,
} from './page.mjs';

const { STRIPE, STRIPE_SCRIPT } = process.env;
const asksFor = (address) => new RegExp(`^asks another host: ${address.replaceAll('.', '\\.')}`);
const ASKS_STRIPE = asksFor(`${STRIPE}/`);
const ASKS_FOR_SCRIPT = asksFor(`${STRIPE_SCRIPT}/v1.0/connect.js`);
const NOW = Math.floor(Date.now() / 1000);

async function assertGoodPage(page, name) {
  await assertAccessible(page);
  await assertFitsNarrowest(page);
  await takeScreenshots(page, name);
}

/** Has Stripe do something with the newest account. */
async function atStripe(what, body = {}) {
  const truth = await (await fetch(`${STRIPE}/_sim/connect`)).json();
  const { id } = truth.accounts.at(-1);
  const answer = await fetch(`${STRIPE}/_sim/connect/accounts/${id}/${what}`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body),
  });
  assert.ok(answer.ok, await answer.text());
}

async function stands(page, words) {
  await page.getByRole('heading', { level: 2, name: words }).waitFor();
}

pageTest('an organization starts at Stripe, comes back and goes on', { complaints: [ASKS_STRIPE] }, async (page) => {
  await signIn(page);
  await page.getByRole('link', { name: 'Get paid' }).click();
  await stands(page, 'Not set up yet');
  await assertGoodPage(page, 'payouts-not-started');
  await page.getByRole('button', { name: 'Start' }).click();
  await page.getByRole('button', { name: 'Come back later' }).click();
  await page.waitForURL(`${BASE_URL}/payouts`);
  await stands(page, 'Not finished');
  await page.getByText('A bank account for payouts').waitFor();
  await assertGoodPage(page, 'payouts-incomplete');
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.getByRole('button', { name: 'Submit details' }).click();
  await page.waitForURL(`${BASE_URL}/payouts`);
  await stands(page, 'Being checked');
  await assertGoodPage(page, 'payouts-pending');
});

pageTest('an account becomes ready by an event without a reload', {}, async (page) => {
  await signIn(page);
  await page.goto('/payouts');
  await stands(page, 'Being checked');
  await page.evaluate(() => { globalThis.notReloaded = true; });
  await atStripe('verify');
  await stands(page, 'Ready');
  assert.ok(await page.evaluate(() => globalThis.notReloaded));
  await page.waitForFunction(() => !document.querySelector('#account-events'));
  await assertGoodPage(page, 'payouts-ready');
});

pageTest('what Stripe asks for has its reason and deadline', {}, async (page) => {
  await atStripe('require', {
    fields: ['individual.verification.document', 'individual.dob.day', 'individual.dob.year', 'external_account'],
    deadline: NOW + 10 * 86_400,
    errors: [{
      code: 'verification_document_expired',
      reason: 'The document has expired. Upload one that is still valid.',
      requirement: 'individual.verification.document',
    }],
  });
  await signIn(page);
  await page.goto('/payouts');
  await stands(page, 'Something is needed');
  await page.getByText('Stripe says: The document has expired.').waitFor();
  assert.equal(await page.getByText('Date of birth').count(), 1);
  await assertGoodPage(page, 'payouts-action-needed');
  await atStripe('pass_deadline');
  await stands(page, 'On hold');
  await assertGoodPage(page, 'payouts-on-hold');
});

pageTest('the keyboard reaches the way to Stripe', { viewport: { width: NARROWEST, height: 640 } }, async (page) => {
  await signIn(page);
  await page.goto('/payouts');
  await tabTo(page, '#account .btn-primary');
});

pageTest('without JavaScript a form leads to Stripe and a link shows what changed', {
  javaScriptEnabled: false, complaints: [ASKS_STRIPE],
}, async (page) => {
  await signIn(page);
  await page.goto('/payouts/onboarding');
  await page.locator('noscript .notice').waitFor();
  await page.getByRole('button', { name: 'Go on at Stripe' }).click();
  await page.getByRole('button', { name: 'Submit details' }).click();
  await page.waitForURL(`${BASE_URL}/payouts`);
  await page.getByRole('button', { name: 'Read again' }).click();
  await stands(page, 'Being checked');
  await page.getByRole('link', { name: 'Refresh this page' }).click();
  await stands(page, 'Being checked');
});

pageTest('a rejected account says why and is disconnected after a question', {}, async (page) => {
  await atStripe('reject', { reason: 'fraud' });
  await signIn(page);
  await page.goto('/payouts');
  await stands(page, 'Rejected by Stripe');
  await page.getByText('Stripe suspects fraud.').waitFor();
  await assertGoodPage(page, 'payouts-rejected');
  await page.getByRole('link', { name: 'Disconnect' }).click();
  await assertGoodPage(page, 'payouts-disconnect');
  await page.getByRole('button', { name: 'Disconnect' }).click();
  await page.waitForURL('**/payouts');
  await stands(page, 'Disconnected');
  await assertGoodPage(page, 'payouts-disconnected');
});

pageTest('Stripe’s form is shown in a page that asks no other host', { complaints: [ASKS_FOR_SCRIPT] }, async (page) => {
  await signIn(page);
  await page.goto('/payouts');
  await page.getByRole('link', { name: 'Stay on this site instead' }).click();
  await page.getByText('Stripe’s form with pk_test_1 and accs_secret').waitFor();
  assert.ok(await page.locator('#onboarding-problem').isHidden());
  await assertGoodPage(page, 'payouts-embedded');
  await page.getByRole('button', { name: 'Leave Stripe’s form' }).click();
  await page.waitForURL('**/payouts');
  await stands(page, 'Not finished');
});

pageTest('where Stripe’s script does not come, the page leads to Stripe', {
  complaints: [/^asks another host/, /Failed to load resource/],
}, async (page) => {
  await page.route(`${STRIPE_SCRIPT}/**`, (route) => route.abort());
  await signIn(page);
  await page.goto('/payouts/onboarding');
  await page.getByText('Stripe’s form cannot be shown.').waitFor();
  await page.getByRole('button', { name: 'Go on at Stripe' }).click();
  await page.getByRole('button', { name: 'Come back later' }).waitFor();
});
