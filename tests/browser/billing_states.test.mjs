// How an organization stands with its plan, in words: a trial, a bank debit, a payment that failed; and the same without a
// mouse and without JavaScript. Each organization goes on where the test before it stopped.

import { ASKS_STRIPE, MONTH, atStripe, offer, truth, untilSaid } from './billing_page.mjs';
import { NARROWEST, assertGoodPage, pageTest, signIn, signInWith, tabTo } from './page.mjs';

const { KEYBOARD, INDEBTED } = process.env;

pageTest('without JavaScript the keyboard is enough to subscribe', {
  javaScriptEnabled: false, complaints: [ASKS_STRIPE],
}, async (page) => {
  await signInWith(page, KEYBOARD, '/pricing');
  await page.getByRole('link', { name: 'Paid by the year' }).press('Enter');
  await page.waitForURL('**/pricing?interval=year');
  await offer(page, 'Pro').getByRole('button', { name: 'Start free trial' }).press('Enter');
  await page.getByRole('button', { name: 'Subscribe' }).press('Enter');
  await page.getByRole('heading', { name: 'You have Pro' }).waitFor();
  await page.getByText('You try Pro free of charge until').waitFor();
  await page.getByRole('link', { name: 'Plan and billing' }).first().press('Enter');
  await page.getByRole('link', { name: 'Cancel the subscription' }).press('Enter');
  await page.getByRole('button', { name: 'Cancel the subscription' }).press('Enter');
  await page.getByRole('button', { name: 'Keep Pro' }).press('Enter');
  await page.getByText('The subscription goes on.').waitFor();
});

pageTest('the keyboard reaches the way to Stripe', { viewport: { width: NARROWEST, height: 640 } }, async (page) => {
  await signIn(page);
  await page.goto('/pricing');
  await tabTo(page, '.plan .btn-primary');
});

pageTest('a trial and a payment that failed are said in words', { complaints: [ASKS_STRIPE] }, async (page) => {
  await signInWith(page, KEYBOARD, '/billing');
  await assertGoodPage(page, 'billing-trial');

  await page.context().clearCookies();
  await signInWith(page, INDEBTED, '/pricing');
  await offer(page, 'Scale').getByRole('button', { name: 'Subscribe' }).click();
  await page.getByRole('button', { name: 'Pay by bank debit' }).click();
  await page.getByRole('heading', { name: 'Your payment is on its way' }).waitFor();
  await assertGoodPage(page, 'billing-success-pending');
  const session = (await truth()).sessions.at(-1);
  await atStripe(`billing/checkout/${session.id}/settle`, { success: true });
  await page.goto('/billing');
  await untilSaid(page, 'goes on from then by itself');
  const { customer } = (await truth()).sessions.at(-1);
  await atStripe(`billing/customers/${customer}/card`, { card: 'pm_card_chargeCustomerFail' });
  // The invoice is made when the period ends, and charged an hour after its event was received.
  await atStripe('clock', { advance_seconds: MONTH });
  await untilSaid(page, 'Being made');
  await atStripe('clock', { advance_seconds: 2 * 3_600 });
  await untilSaid(page, 'Scale stays in force until');
  await page.getByRole('link', { name: 'Pay the invoice at Stripe' }).waitFor();
  await assertGoodPage(page, 'billing-past-due');
});

pageTest('a session of another organization is one that does not exist', { complaints: [/status of 404/] }, async (page) => {
  const { sessions } = await truth();
  await signInWith(page, INDEBTED, '/billing');
  await page.goto(`/billing/success?session_id=${sessions[0].id}`);
  await page.getByRole('heading', { name: 'No such session' }).waitFor();
  await assertGoodPage(page, 'billing-no-session');
});

pageTest('all invoices and all payments have pages of their own', {}, async (page) => {
  await signInWith(page, INDEBTED, '/billing');
  for (const list of ['invoices', 'payments']) {
    await page.goto(`/billing/${list}`);
    await page.getByText('49.00 USD').first().waitFor();
    await assertGoodPage(page, `billing-${list}`);
  }
});
