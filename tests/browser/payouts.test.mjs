// Getting paid: onboarding at Stripe and back, the money of the account, what Stripe asks for, Stripe's form in a page, and
// disconnecting. Each test goes on where the one before it stopped: there is one account at a time.

import assert from 'node:assert/strict';
import {
  BASE_URL, NARROWEST, TOKEN, ask, assertAccessible, assertGoodPage, pageTest, signIn, tabTo,
} from './page.mjs';

const { STRIPE, STRIPE_SCRIPT } = process.env;
const asksFor = (address) => new RegExp(`^asks another host: ${address.replaceAll('.', '\\.')}`);
const ASKS_STRIPE = asksFor(`${STRIPE}/`);
const ASKS_FOR_SCRIPT = asksFor(`${STRIPE_SCRIPT}/v1.0/connect.js`);
const NOW = Math.floor(Date.now() / 1000);

/** Has Stripe do something with the newest account. */
async function atStripe(what, body = {}) {
  const truth = await (await fetch(`${STRIPE}/_sim/connect`)).json();
  const { id } = truth.accounts.at(-1);
  await post(`${STRIPE}/_sim/connect/accounts/${id}/${what}`, {}, body);
}

async function post(address, headers, body) {
  const answer = await fetch(address, {
    method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body),
  });
  assert.ok(answer.ok, await answer.text());
}

/** Has the platform transfer money to the account, by the REST API. */
async function transfer(key, body) {
  const headers = { authorization: `Bearer ${TOKEN}`, 'idempotency-key': key };
  await post(`${BASE_URL}/v1/connect/transfer`, headers, { currency: 'usd', ...body });
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

pageTest('money that arrives is shown, paid out manually and reversed in part', {}, async (page) => {
  await post(`${STRIPE}/_sim/connect/fund`, {}, { amount: 1_000_000, currency: 'usd' });
  await signIn(page);
  await page.goto('/payouts');
  await page.getByText('No transfers yet.').waitFor();
  await transfer('order-1042', { amount: 100_000, description: 'Order 1042, with a description that takes several lines' });
  await page.goto('/payouts');
  await page.getByRole('region', { name: 'The newest transfers' }).getByText('900.00 USD').waitFor();
  await page.getByText('Every day.').waitFor();
  await assertGoodPage(page, 'payouts-money');

  await page.getByRole('link', { name: 'Pay out now' }).click();
  await page.getByRole('link', { name: 'Fill in 900.00' }).click();
  assert.equal(await page.getByLabel('Amount').inputValue(), '900.00');
  await page.getByLabel('Amount').fill('400.00');
  await page.getByText('Every day.').waitFor();
  await assertGoodPage(page, 'payouts-pay-out');
  await page.getByRole('button', { name: 'Pay out', exact: true }).dblclick();
  await page.getByText('The payout is created.').waitFor();
  await page.getByText('Every day.').waitFor();
  await page.getByRole('region', { name: 'The newest payouts' }).getByText('400.00 USD').waitFor();
  const payouts = await ask('/v1/connect/payouts');
  assert.deepEqual(payouts.data.map(({ amount }) => amount), [40_000]);
  await assertGoodPage(page, 'payouts-paid-out');

  await page.getByRole('region', { name: 'The newest transfers' }).getByRole('link').click();
  await page.getByRole('link', { name: 'Reverse transfer' }).click();
  assert.equal(await page.getByLabel('Amount to take back').inputValue(), '900.00');
  await page.getByLabel('Amount to take back').fill('100.00');
  await page.getByLabel('Waive the platform’s fee').check();
  await assertGoodPage(page, 'payouts-reverse');
  await page.getByRole('button', { name: 'Reverse transfer' }).click();
  await page.getByText('The transfer is reversed.').waitFor();
  await page.getByText('800.00 USD').waitFor();
  await assertGoodPage(page, 'payouts-transfer');
  await page.getByRole('link', { name: 'Transfers' }).click();
  await assertGoodPage(page, 'payouts-transfers');
  await page.goto('/payouts/list');
  await assertGoodPage(page, 'payouts-list');
});

pageTest('the payout schedule is changed in words', {}, async (page) => {
  await signIn(page);
  await page.goto('/payouts');
  await page.getByRole('link', { name: 'Change the schedule' }).click();
  assert.ok(await page.getByText('Days of the week').isHidden());
  await page.getByLabel('Every week').check();
  assert.ok(await page.getByText('Days of the month').isHidden());
  await page.getByLabel('Friday').check();
  await assertGoodPage(page, 'payouts-schedule');
  await page.getByRole('button', { name: 'Save the schedule' }).click();
  await page.getByText('The payout schedule is saved.').waitFor();
  await page.getByText('Every week on Friday.').waitFor();
});

pageTest('a wrong amount is said at its field, which the keyboard reaches', { complaints: [/status of 422/] }, async (page) => {
  await signIn(page);
  await page.goto('/payouts/pay-out');
  await tabTo(page, '#amount');
  await page.getByLabel('Amount').fill('12.505');
  await page.getByLabel('Currency').selectOption('USD');
  await page.getByRole('button', { name: 'Pay out', exact: true }).click();
  await page.getByText('USD has 2 decimals at most.').waitFor();
  await page.getByText('As of').waitFor();
  await assertGoodPage(page, 'payouts-pay-out-wrong');
  await page.getByLabel('Amount').fill('5000');
  await page.getByRole('button', { name: 'Pay out', exact: true }).click();
  await page.getByText('Not enough is available').waitFor();
  await assertAccessible(page);
});

pageTest('without JavaScript a link leads to the balance, and the forms work', { javaScriptEnabled: false }, async (page) => {
  await signIn(page);
  await page.goto('/payouts');
  await page.getByRole('link', { name: 'Ask Stripe for the balance' }).click();
  await page.getByText('400.00 USD').waitFor();
  await page.getByText('Every week on Friday.').waitFor();
  await page.getByRole('link', { name: 'Pay out now' }).click();
  await page.getByRole('link', { name: /Fill in/ }).click();
  await page.getByRole('button', { name: 'Pay out', exact: true }).click();
  await page.getByText('The payout is created.').waitFor();
  await page.getByRole('link', { name: 'Change the schedule' }).click();
  await page.getByLabel('Every month').check();
  await page.getByLabel('Days of the month').fill('1, 15');
  await page.getByRole('button', { name: 'Save the schedule' }).click();
  await page.getByText('The payout schedule is saved.').waitFor();
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
  // The page of an account that was ready follows no events.
  await page.getByRole('button', { name: 'Refresh from Stripe' }).click();
  await stands(page, 'Something is needed');
  await page.getByText('Stripe says: The document has expired.').waitFor();
  assert.equal(await page.getByText('Date of birth').count(), 1);
  await assertGoodPage(page, 'payouts-action-needed');
  await atStripe('pass_deadline');
  await stands(page, 'On hold');
  await page.goto('/payouts');
  await page.getByText('Payouts are off until Stripe has the details that it asks for.').waitFor();
  assert.equal(await page.getByRole('link', { name: 'Pay out now' }).count(), 0);
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
  await page.getByRole('button', { name: 'Continue on Stripe' }).click();
  await page.getByRole('button', { name: 'Submit details' }).click();
  await page.waitForURL(`${BASE_URL}/payouts`);
  await page.getByRole('button', { name: 'Refresh from Stripe' }).click();
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
  await page.getByRole('link', { name: 'Fill it in here instead' }).click();
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
  await page.getByRole('button', { name: 'Continue on Stripe' }).click();
  await page.getByRole('button', { name: 'Come back later' }).waitFor();
});
