// Connecting an account, following its first sync, and the forms of its connection. Each test goes on where the one
// before it stopped: there is one account, and it is connected once.

import assert from 'node:assert/strict';
import { NARROWEST, assertAccessible, assertGoodPage, pageTest, signIn, tabTo, takeScreenshots } from './page.mjs';

const { KEY, LESSER_KEY, CONNECTION } = process.env;
const PATH = `/connections/${CONNECTION}`;

pageTest('an organization without a connection is led to connecting', {}, async (page) => {
  await signIn(page);
  await page.goto('/connections');
  await assertGoodPage(page, 'connections-empty');
  await page.getByRole('link', { name: 'Connect Stripe' }).click();
  await page.waitForURL('**/connections/new');
});

pageTest('the time zone is the browser’s', { timezoneId: 'Asia/Tokyo' }, async (page) => {
  await signIn(page);
  await page.goto('/connections/new');
  assert.equal(await page.getByLabel('Time zone').inputValue(), 'Asia/Tokyo');
  await assertGoodPage(page, 'connect');
});

pageTest('a pasted key is checked at once and stays in its field', {}, async (page) => {
  await signIn(page);
  await page.goto('/connections/new');
  const key = page.getByLabel('Stripe key');
  await key.fill('pk_live_wrong');
  await page.getByText('This key does not work.').waitFor();
  await key.fill(LESSER_KEY);
  await page.getByText(/The key works, with \d permissions? missing\./).waitFor();
  await page.getByText('Invoiced charges have no products.').waitFor();
  await page.getByText(/reads about [\d,]+ charges of the last 400 days/).waitFor();
  await page.getByLabel('Days of history').fill('30');
  await page.getByLabel('Name').focus();
  await page.getByText(/reads about 1,\d00 charges of the last 30 days/).waitFor();
  await page.getByLabel('Days of history').fill('120');
  await page.getByLabel('Name').focus();
  await page.getByText(/reads about [34],\d00 charges of the last 120 days/).waitFor();
  assert.equal(await key.inputValue(), LESSER_KEY);
  await assertGoodPage(page, 'connect-checked');
});

pageTest('the keyboard reaches the key and the button', { viewport: { width: NARROWEST, height: 640 } }, async (page) => {
  await signIn(page);
  await page.goto('/connections/new');
  await tabTo(page, '#api_key');
  await tabTo(page, 'button.btn-primary');
});

pageTest('an account is connected without JavaScript', {
  javaScriptEnabled: false, complaints: [/status of 422/],
}, async (page) => {
  await signIn(page);
  await page.goto('/connections/new');
  assert.equal(await page.getByLabel('Time zone').inputValue(), 'UTC');
  await page.getByLabel('Stripe key').fill('rk_test_unknown');
  await page.getByLabel('Name').fill('Main account');
  await page.getByRole('button', { name: 'Connect', exact: true }).click();
  await page.locator('#api_key-error').waitFor();
  assert.equal(await page.getByLabel('Stripe key').inputValue(), '');
  await takeScreenshots(page, 'connect-refused');
  await page.getByLabel('Stripe key').fill(KEY);
  await page.getByLabel('Days of history').fill('120');
  await page.getByRole('button', { name: 'Connect', exact: true }).click();
  await page.waitForURL(`**${PATH}`);
  await page.getByRole('heading', { name: 'Main account' }).waitFor();
  await page.getByRole('link', { name: 'Refresh this page' }).click();
  await page.getByText(/charges read with .* requests/).waitFor();
});

pageTest('the first sync is followed until it is done', {}, async (page) => {
  await signIn(page);
  // The first stream breaks off at once, as one of an API that is restarted.
  let streams = 0;
  await page.route('**/activity/events', async (route) => {
    streams += 1;
    await (streams === 1 ? route.fulfill({ contentType: 'text/event-stream', body: '' }) : route.continue());
  });
  await page.goto(PATH);
  await page.getByText(/Today’s revenue so far/).waitFor();
  await page.getByText(/charges read with .* requests/).waitFor();
  await assertAccessible(page);
  await takeScreenshots(page, 'connection-running');
  await page.evaluate(() => { globalThis.notReloaded = true; });
  const percent = () => page.getByLabel('Progress of the first sync').evaluate((progress) => progress.value);
  const before = await percent();
  await page.waitForFunction((value) => document.querySelector('.progress-line')?.value > value, before);
  await page.getByText('Up to date').waitFor({ timeout: 120_000 });
  await page.waitForFunction(() => !document.querySelector('#activity-events'));
  assert.equal(streams, 2, 'one stream is enough until the job ends');
  await page.getByText('Requests today').waitFor();
  await page.getByText('13 of 14 days are complete').waitFor();
  assert.ok(await page.evaluate(() => globalThis.notReloaded));
  await assertGoodPage(page, 'connection');
  await page.goto('/connections');
  await assertGoodPage(page, 'connections');
});

pageTest('a rule shows its effect before it is saved', {}, async (page) => {
  await signIn(page);
  await page.goto(PATH);
  await page.getByRole('link', { name: 'New rule' }).click();
  await page.getByLabel('What is compared').selectOption('amount');
  await page.getByLabel('How', { exact: true }).selectOption('lt');
  await page.getByRole('textbox', { name: 'Value' }).fill('20.00');
  await page.getByRole('button', { name: 'Preview' }).click();
  await page.getByText(/of [\d,]+ charges would no longer count/).waitFor();
  await assertGoodPage(page, 'rule');
  await page.getByLabel('Name of the rule').fill('Small amounts');
  await page.getByRole('button', { name: 'Save rule' }).click();
  await page.getByText('Do not count charges where amount is less than 20.00').waitFor();
});

pageTest('settings, and deleting by the name, work without JavaScript', {
  javaScriptEnabled: false, complaints: [/status of 422/],
}, async (page) => {
  await signIn(page);
  await page.goto(PATH);
  await page.getByLabel('Minutes between syncs').fill('30');
  await page.getByRole('button', { name: 'Save settings' }).click();
  await page.getByText('The settings are saved.').waitFor();
  await page.getByLabel('Name of the connection').fill('main');
  await page.getByRole('button', { name: 'Delete connection' }).click();
  await page.getByText('Nothing was deleted.').waitFor();
  await takeScreenshots(page, 'connection-refused');
  await page.getByLabel('Name of the connection').fill('Main account');
  await page.getByRole('button', { name: 'Delete connection' }).click();
  await page.getByText('Nothing is connected yet').waitFor();
});
