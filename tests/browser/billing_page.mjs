// What the tests of plans and billing share: the simulated Stripe, where somebody pays and time passes, and the plans.

import assert from 'node:assert/strict';

const { STRIPE } = process.env;
/** Longer than any month, in seconds. */
export const MONTH = 32 * 86_400;
/** What the browser complains of when a page leads to Stripe. */
export const ASKS_STRIPE = new RegExp(`^asks another host: ${STRIPE.replaceAll('.', '\\.')}/`);

export async function atStripe(path, body = {}) {
  const answer = await fetch(`${STRIPE}/_sim/${path}`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body),
  });
  assert.ok(answer.ok, await answer.text());
}

export async function truth() {
  return (await fetch(`${STRIPE}/_sim/billing`)).json();
}

/** Reloads the page until it says this: an event is on its way. */
export async function untilSaid(page, words) {
  const until = Date.now() + 60_000;
  while (await page.getByText(words).count() === 0) {
    assert.ok(Date.now() < until, `${words}: ${await page.locator('main').innerText()}`);
    await page.reload();
  }
}

/** The offer of a plan. */
export function offer(page, name) {
  return page.locator('.plan').filter({ has: page.getByRole('heading', { name, exact: true }) });
}
