// Plans and billing: from the plans through Stripe's pages to a plan that is used, changed and ended. Tests of one organization
// go on where the one before them stopped; others have an organization of their own.

import assert from 'node:assert/strict';
import { ASKS_STRIPE, MONTH, atStripe, offer, truth, untilSaid } from './billing_page.mjs';
import { BASE_URL, ask, assertGoodPage, pageTest, signIn, signInWith, tabTo } from './page.mjs';

const { STRIPE_KEY, HESITANT } = process.env;

pageTest('a stranger sees the plans, by the month and by the year, and signs in to subscribe', {}, async (page) => {
  await page.goto('/pricing');
  await offer(page, 'Scale').getByText('49.00 USD').waitFor();
  await offer(page, 'Pro').getByRole('link', { name: 'Start free trial' }).waitFor();
  await assertGoodPage(page, 'pricing-stranger');
  await page.getByRole('link', { name: 'Paid by the year' }).click();
  await offer(page, 'Scale').getByText('490.00 USD').waitFor();
  await offer(page, 'Scale').getByText('16 % less than by the month').waitFor();
  await assertGoodPage(page, 'pricing-year');
  await offer(page, 'Scale').getByRole('link', { name: 'Subscribe' }).click();
  await page.getByLabel('Token').fill(HESITANT);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.waitForURL('**/pricing?interval=year');
  await offer(page, 'Scale').getByRole('button', { name: 'Subscribe' }).waitFor();
});

pageTest('what Stripe’s page refuses or is left at orders nothing, and 3-D Secure is gone through there', {
  complaints: [ASKS_STRIPE],
}, async (page) => {
  await signInWith(page, HESITANT, '/pricing');
  await offer(page, 'Scale').getByRole('button', { name: 'Subscribe' }).click();
  await page.getByRole('button', { name: 'Go back' }).click();
  await page.waitForURL(`${BASE_URL}/billing`);
  await page.getByText('It costs nothing.').waitFor();
  await page.goto('/pricing');
  await offer(page, 'Scale').getByRole('button', { name: 'Subscribe' }).click();
  await page.getByRole('button', { name: 'Pay with a card that is declined' }).click();
  await page.getByRole('alert').waitFor();
  await page.getByRole('button', { name: 'Pay with 3-D Secure' }).click();
  await page.getByRole('button', { name: 'Fail authentication' }).click();
  await page.getByRole('alert').waitFor();
  const { sessions } = await truth();
  assert.deepEqual(sessions.map(({ status }) => status), ['open']);
  await page.getByRole('button', { name: 'Pay with 3-D Secure' }).click();
  await page.getByRole('button', { name: 'Complete authentication' }).click();
  await page.getByRole('heading', { name: 'You have Scale' }).waitFor();
});

pageTest('from the plans to a connection with the key of the plan', { complaints: [ASKS_STRIPE] }, async (page) => {
  await signIn(page);
  await page.getByRole('link', { name: 'Plan and billing' }).click();
  await page.getByText('It costs nothing.').waitFor();
  await page.getByText('0 of 1').first().waitFor();
  await assertGoodPage(page, 'billing-free');
  await page.getByRole('link', { name: 'See the plans' }).click();
  await assertGoodPage(page, 'pricing-free');
  await offer(page, 'Scale').getByRole('button', { name: 'Subscribe' }).click();
  await page.getByRole('button', { name: 'Pay', exact: true }).click();
  await page.getByRole('heading', { name: 'You have Scale' }).waitFor();
  await assertGoodPage(page, 'billing-success');

  await page.getByRole('button', { name: 'Reveal the key' }).click();
  const key = await page.locator('#token').innerText();
  assert.match(key, /^sst_/);
  await assertGoodPage(page, 'billing-key');
  const connected = await fetch(`${BASE_URL}/v1/connectors/stripe/connect`, {
    method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
    body: JSON.stringify({ organization_id: 'acme', api_key: STRIPE_KEY, lookback_days: 120 }),
  });
  assert.equal(connected.status, 201, await connected.text());
  await page.getByRole('link', { name: 'Plan and billing' }).first().click();
  await page.getByText('1, of any number').waitFor();
  await page.getByText('Visa ending in 4242').first().waitFor();
  await page.getByRole('region', { name: 'The newest invoices' }).getByText('49.00 USD').waitFor();
  await page.getByRole('region', { name: 'The newest payments' }).getByText('49.00 USD').waitFor();
  await assertGoodPage(page, 'billing-active');
  await page.goto('/pricing');
  await offer(page, 'Scale').getByText('Your plan').waitFor();
  await assertGoodPage(page, 'pricing-subscribed');
});

pageTest('a change is seen before it is paid, planned and taken back', {}, async (page) => {
  await signIn(page);
  await page.goto('/billing');
  await page.getByRole('link', { name: 'Change the seats' }).click();
  await page.getByText('This is what you have.').waitFor();
  await page.getByLabel('Seats').fill('2');
  await page.getByRole('button', { name: 'Show the price' }).click();
  await page.getByText('Due now').waitFor();
  await assertGoodPage(page, 'billing-change');
  await page.getByRole('button', { name: 'Pay and change' }).dblclick();
  await page.getByText('The plan is changed.').waitFor();
  await page.getByText('for each of 2 seats').waitFor();
  await page.getByRole('link', { name: 'Change the plan' }).click();
  await offer(page, 'Pro').getByRole('link', { name: 'Change to this plan' }).click();
  await page.getByText('The change takes effect then').waitFor();
  await assertGoodPage(page, 'billing-change-later');
  await page.getByRole('button', { name: 'Plan the change' }).click();
  await page.getByText('The change is planned.').waitFor();
  await page.getByText('it is Pro, paid by the month.').waitFor();
  await assertGoodPage(page, 'billing-scheduled');
  await page.goto('/pricing');
  await offer(page, 'Pro').getByText('Yours from').waitFor();
  await page.goto('/billing');
  await page.getByRole('button', { name: 'Stay with Scale' }).click();
  await page.getByText('The plan stays as it is.').waitFor();
});

pageTest('a wrong number of seats is said at its field, which the keyboard reaches', {
  complaints: [/status of 422/],
}, async (page) => {
  await signIn(page);
  await page.goto('/billing/change?plan=scale&interval=month&seats=0');
  await page.getByText('Must be').waitFor();
  await tabTo(page, '#seats');
  await assertGoodPage(page, 'billing-change-wrong');
});

pageTest('the portal leads to Stripe and back', { complaints: [ASKS_STRIPE] }, async (page) => {
  await signIn(page);
  await page.goto('/billing');
  await page.getByRole('button', { name: 'Billing details' }).click();
  await page.getByRole('button', { name: 'Return' }).click();
  await page.waitForURL(`${BASE_URL}/billing?done=returned`);
  await page.getByRole('heading', { name: 'Scale' }).waitFor();
});

pageTest('the key is rolled after a question', {}, async (page) => {
  await signIn(page);
  await page.goto('/billing');
  await page.getByRole('link', { name: 'Roll the key' }).click();
  await assertGoodPage(page, 'billing-key-roll');
  await page.getByRole('button', { name: 'Roll the key' }).click();
  await page.getByText('The former key is refused from now on.').waitFor();
});

pageTest('what is cancelled can be kept, and the free plan returns when the period has ended', {}, async (page) => {
  await signIn(page);
  await page.goto('/billing');
  await page.getByRole('link', { name: 'Cancel the subscription' }).click();
  await page.getByLabel('Why').selectOption({ label: 'It costs too much' });
  await assertGoodPage(page, 'billing-cancel');
  await page.getByRole('button', { name: 'Cancel the subscription' }).click();
  await page.getByText('The subscription is cancelled.').waitFor();
  await page.getByText('Nothing more is charged').waitFor();
  await assertGoodPage(page, 'billing-cancelled');
  await page.getByRole('button', { name: 'Keep Scale' }).click();
  await page.getByText('The subscription goes on.').waitFor();
  await page.getByRole('link', { name: 'Cancel the subscription' }).click();
  await page.getByRole('button', { name: 'Cancel the subscription' }).click();
  await page.getByText('Nothing more is charged').waitFor();

  await atStripe('clock', { advance_seconds: MONTH });
  await page.goto('/billing');
  await untilSaid(page, 'The subscription to Scale has ended, and Free is in force.');
  await page.getByText('1 of 1').first().waitFor();
  await page.getByText('It sleeps.').waitFor();
  const { plan, access } = await ask('/v1/billing/subscription');
  assert.deepEqual([plan, access], ['free', false]);
  await assertGoodPage(page, 'billing-ended');
});
