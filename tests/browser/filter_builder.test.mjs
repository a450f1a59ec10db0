// Conditions on Explore: built by keyboard and clicks, counted while they are edited, kept in the address, saved and shared.

import assert from 'node:assert/strict';
import {
  assertAccessible, assertFitsNarrowest, day, money, pageTest, signIn, tabTo, takeScreenshots,
} from './page.mjs';

const { SIMULATOR, ANALYST } = process.env;
const CAMPAIGNS = ['spring', 'black-friday'];

/** What the simulator says of the charges whose tier is pro and whose campaign is one of both. */
async function truth() {
  const from = Date.parse(day(29)) / 1000;
  const url = new URL(`/_sim/truth/rows?from=${from}&to=${Math.ceil(Date.now() / 1000)}&timezone=UTC`, SIMULATOR);
  const rows = (await (await fetch(url)).json()).filter(({ counted, charge_metadata: { tier, campaign } }) => (
    counted && tier === 'pro' && CAMPAIGNS.includes(campaign)));
  const net = rows.filter(({ currency }) => currency === 'usd')
    .reduce((sum, { gross, refunded }) => sum + gross - refunded, 0);
  const charges = new Set(rows.map(({ charge_id: id }) => id)).size;
  return { charges, usd: money({ net, currency: 'usd' }) };
}

/** The parts of a condition. */
function condition(page, place) {
  const part = (name) => page.locator(`#condition-${place}-${name}`);
  return { key: part('key'), operator: part('operator'), value: part('value') };
}

/** Whether the browser has the values of a key for a condition. */
async function waitForValue(page, place, value) {
  await page.locator(`#condition-${place}-values option[value="${value}"]`).waitFor({ state: 'attached' });
}

/** Chooses a key, whose values arrive meanwhile. */
async function choose(page, place, key, sample) {
  await condition(page, place).key.selectOption(key);
  await waitForValue(page, place, sample);
}

async function build(page) {
  await choose(page, '0-0', 'metadata.charge.tier', 'pro');
  await condition(page, '0-0').value.fill('pro');
  await page.getByRole('button', { name: 'Add a condition' }).click();
  await choose(page, '1-0', 'metadata.charge.campaign', 'spring');
  await condition(page, '1-0').value.fill(CAMPAIGNS[0]);
  await page.getByRole('button', { name: 'Add alternative to condition 2' }).click();
  await choose(page, '1-1', 'metadata.charge.campaign', 'spring');
  await condition(page, '1-1').value.fill(CAMPAIGNS[1]);
}

pageTest('conditions are built, counted as they are edited, applied and in the CSV', {}, async (page) => {
  await signIn(page);
  await page.goto('/explore?range=30d&group_by=currency');
  await build(page);
  const { charges, usd } = await truth();
  const matching = page.locator('#matching');
  await matching.filter({ hasText: `Matches ${charges} charges: ` }).filter({ hasText: usd }).waitFor();
  await takeScreenshots(page, 'filter-builder');
  await assertAccessible(page);
  await assertFitsNarrowest(page);
  await page.getByRole('button', { name: 'Apply' }).click();
  await page.waitForURL(/metadata\.charge\.tier=pro.*filter=/);
  assert.equal(await condition(page, '1-1').value.inputValue(), CAMPAIGNS[1]);
  assert.equal(await page.locator('[data-figure=net-usd]').textContent(), usd);
  const downloading = page.waitForEvent('download');
  await page.getByRole('link', { name: 'Download as CSV' }).click();
  const text = (await (await (await downloading).createReadStream()).toArray()).join('');
  const counts = text.trim().split('\n').slice(1).map((line) => Number(line.split(',')[5]));
  assert.equal(counts.reduce((sum, count) => sum + count, 0), charges);
});

pageTest('the keyboard builds a condition, and Enter applies it', {}, async (page) => {
  await signIn(page);
  await page.goto('/explore?range=30d');
  await tabTo(page, '#condition-0-0-key');
  await page.keyboard.type('charge.tier');
  await waitForValue(page, '0-0', 'pro');
  await tabTo(page, '#condition-0-0-value');
  await page.keyboard.type('pro');
  await page.keyboard.press('Enter');
  await page.waitForURL(/metadata\.charge\.tier=pro/);
  await tabTo(page, '#condition-0-0-remove');
  await page.keyboard.press('Enter');
  await page.locator('#condition-0-0-value[value=""]').waitFor();
});

pageTest('a value that cannot be is said at its field', { complaints: [/422/] }, async (page) => {
  await signIn(page);
  await page.goto('/explore?range=30d');
  const { key, operator, value } = condition(page, '0-0');
  await key.selectOption('field.amount');
  // Amounts have fewer comparisons.
  await operator.locator('option[value=contains]').waitFor({ state: 'detached' });
  await operator.selectOption('gt');
  await value.fill('much');
  await page.getByText('Amount: enter a number such as 12.50, without separators of thousands.').waitFor();
  await page.getByRole('button', { name: 'Apply' }).click();
  await page.getByRole('alert').filter({ hasText: 'Amount: enter a number such as 12.50' }).waitFor();
  assert.equal(await value.getAttribute('aria-invalid'), 'true');
  await takeScreenshots(page, 'filter-builder-error');
  await assertAccessible(page);
  await assertFitsNarrowest(page);
});

pageTest('an amount is entered as people write it', {}, async (page) => {
  await signIn(page);
  await page.goto('/explore?range=30d');
  const { key, operator, value } = condition(page, '0-0');
  await key.selectOption('field.amount');
  await page.getByText(/In the charge’s currency, such as 10\.00 \(1,000\sJPY\)\./).waitFor();
  await operator.selectOption('lt');
  await value.fill('20.00');
  await page.getByRole('button', { name: 'Apply' }).click();
  await page.waitForURL((url) => {
    const filter = JSON.parse(url.searchParams.get('filter') ?? '{}');
    return filter.conditions?.[0].value === 2000;
  });
  assert.equal(await value.inputValue(), '20.00');
  await page.getByRole('link', { name: 'Show the charges' }).click();
  await page.getByText(/amount is less than 20\.00 \(2,000\sJPY\)/).waitFor();
});

pageTest('a question is saved and shared, and another viewer opens it', {}, async (page) => {
  await signIn(page);
  await page.goto('/explore?range=30d');
  await build(page);
  await page.getByRole('button', { name: 'Apply' }).click();
  await page.waitForURL(/filter=/);
  await page.getByText('Save this question').click();
  await page.getByLabel('Name').fill('Pro in spring');
  await page.getByRole('button', { name: 'Save question' }).click();
  await page.getByRole('link', { name: 'Edit Pro in spring' }).click();
  await assertAccessible(page);
  await page.getByLabel('Share with everybody').check();
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByRole('link', { name: 'Pro in spring', exact: true }).waitFor();
  await takeScreenshots(page, 'saved-questions');
  await assertAccessible(page);
  await page.getByRole('button', { name: 'Sign out' }).click();

  await page.getByLabel('Token').fill(ANALYST);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('link', { name: 'Explore' }).click();
  await page.getByRole('link', { name: 'Pro in spring', exact: true }).click();
  await page.waitForURL(/filter=/);
  const { usd } = await truth();
  assert.equal(await page.locator('[data-figure=net-usd]').textContent(), usd);
  assert.equal(await page.getByText('Save this question').count(), 0);
});

pageTest('conditions and questions work without JavaScript', { javaScriptEnabled: false }, async (page) => {
  await signIn(page);
  await page.goto('/explore?range=30d');
  await condition(page, '0-0').key.selectOption('metadata.charge.tier');
  await condition(page, '0-0').value.fill('pro');
  await page.getByRole('button', { name: 'Add alternative to condition 1' }).click();
  await condition(page, '0-1').key.selectOption('field.country');
  await condition(page, '0-1').value.fill('DE');
  await page.getByRole('button', { name: 'Apply' }).click();
  await page.waitForURL(/filter=/);
  assert.doesNotMatch(page.url(), /condition-/);
  await page.getByText('Save this question').click();
  await page.getByLabel('Name').fill('Without scripts');
  await page.getByRole('button', { name: 'Save question' }).click();
  await page.getByRole('link', { name: 'Edit Without scripts' }).click();
  await page.getByRole('link', { name: 'Delete this question' }).click();
  await takeScreenshots(page, 'question-delete');
  await page.getByRole('button', { name: 'Delete question' }).click();
  await page.waitForURL(/filter=/);
  assert.equal(await page.getByRole('link', { name: 'Without scripts', exact: true }).count(), 0);
});
