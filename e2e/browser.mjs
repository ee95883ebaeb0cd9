// The dashboard in a real browser: a person logs in, answers an approval while requests wait, watches a failover happen
// and searches the audit log.
//
//   node browser.mjs FOLDER
//
// Standard input is one line of JSON: {"url", "token", "agent_key", "control_url", "account"}; FOLDER gets the pictures.
// Prints one line for each step that held, and ends with 0; otherwise with 1, and what was wrong on standard error.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

/** How long anything may take to be seen. */
const PATIENCE = 60_000;
/** How long a request may wait, in seconds: for pictures of all sizes as well. */
const REQUEST_MAX = '300';
/** Requests that wait for one answer. */
const WAITING = 8;
/** Callers that want one token at once. */
const HERD = 40;
const DESK = { width: 1280, height: 860 };
const PHONE = { width: 390, height: 844 };

const folder = process.argv[2];
const stage = JSON.parse((await once(createInterface(process.stdin), 'line'))[0]);
const complaints = [];

/** A request through the gateway, by curl. Resolves to its status. */
function curl() {
  const args = ['-sS', '-o', '/dev/null', '-w', '%{http_code}', '--max-time', REQUEST_MAX, '-d', '{}'];
  args.push('-H', 'content-type: application/json', '-H', `authorization: Bearer ${stage.agent_key}`);
  const call = { status: null };
  call.done = new Promise((resolve, reject) => {
    execFile('curl', [...args, `${stage.url}/gateway/gpt/v1/chat/completions`], (error, out) => {
      call.status = error ? String(error) : out;
      if (error) reject(error);
      else resolve(out);
    });
  });
  return call;
}

async function api(path, body) {
  const headers = { authorization: `Bearer ${stage.token}`, 'content-type': 'application/json' };
  const answer = await fetch(stage.url + path, { method: 'POST', headers, body: JSON.stringify(body) });
  assert.ok(answer.ok, `${path}: ${answer.status}`);
  return answer.json();
}

async function open(browser, options) {
  const context = await browser.newContext({ viewport: DESK, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.on('pageerror', (error) => complaints.push(`script: ${error}`));
  page.on('console', (message) => {
    // A page that is refused is a step of this test; what its policy blocks never is.
    if (message.type() === 'error' && !/status of 40[13]/.test(message.text())) complaints.push(message.text());
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(stage.url)) complaints.push(`something from elsewhere: ${request.url()}`);
  });
  return page;
}

async function logIn(page) {
  await page.goto(`${stage.url}/ui/approvals`);
  await page.getByLabel('Admin token').fill('wrong');
  await page.keyboard.press('Enter');
  await page.getByRole('alert').waitFor();
  await page.getByLabel('Admin token').fill(stage.token);
  await page.keyboard.press('Enter');
  await page.waitForURL('**/ui/approvals');
  const [cookie] = await page.context().cookies();
  assert.ok(cookie.httpOnly && cookie.sameSite === 'Strict', JSON.stringify(cookie));
}

/** Closed until somebody opens it. */
function gate() {
  let open;
  const opened = new Promise((resolve) => { open = resolve; });
  return { open, opened };
}

/** From here on `window.heard` waits for a change, and until the page itself has had time to hear of it as well. */
async function listens(page) {
  await page.evaluate(() => new Promise((done) => {
    const stream = new EventSource('/ui/live');
    stream.onopen = () => done();
    window.heard = new Promise((heard) => {
      stream.onmessage = () => {
        stream.close();
        setTimeout(heard, 1500);
      };
    });
  }));
}

/** What a person sees on both screens and in both lights. */
async function pictures(page, name) {
  for (const [size, viewport] of [['desk', DESK], ['phone', PHONE]]) {
    for (const colorScheme of ['light', 'dark']) {
      await page.setViewportSize(viewport);
      await page.emulateMedia({ colorScheme });
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= viewport.width, `${name} is ${width} wide on a ${size}`);
      await page.screenshot({ path: join(folder, `${name}-${size}-${colorScheme}.png`) });
    }
  }
  await page.setViewportSize(DESK);
  await page.emulateMedia({ colorScheme: 'light' });
}

const steps = {
  async 'a wrong token is refused, the right one leads on'(page) {
    await page.goto(stage.url);
    await pictures(page, 'login');
    await logIn(page);
  },

  async 'requests wait, one answer releases them'(page) {
    await page.goto(stage.url);
    await page.getByText('Nobody waits for an answer.').waitFor();
    const calls = Array.from({ length: WAITING }, curl);
    // By the live stream: the page is not loaded anew.
    await page.locator('.waiters b', { hasText: new RegExp(`^${WAITING}$`) }).waitFor();
    assert.deepEqual(calls.map((call) => call.status), calls.map(() => null), 'held, with nothing sent');
    await pictures(page, 'waiting');
    await page.getByLabel('For how long').selectOption('3600');
    await page.getByRole('button', { name: 'Allow for' }).click();
    await page.getByText(`${WAITING} requests answered`).waitFor();
    assert.deepEqual(await Promise.all(calls.map((call) => call.done)), calls.map(() => '200'));
    await page.getByText('Nobody waits for an answer.').waitFor();
    assert.equal(await curl().done, '200', 'what comes later is covered');
  },

  async 'a question is answered by keyboard alone'(page) {
    await Promise.all(Array.from({ length: HERD }, () => api('/v1/token', { name: 'reports' })));
    const question = { tool: 'shell', command: 'rm -rf build/', because: 'a clean build' };
    const { id } = await api('/v1/approvals', { agent: 'builder', key: 'shell.rm', question });
    await page.goto(stage.url);
    await page.getByRole('heading', { name: 'shell.rm' }).waitFor();
    // What this server counts, it reads every few seconds.
    await page.waitForFunction(() => document.querySelectorAll('#charts rect').length >= 2);
    await pictures(page, 'overview');
    await page.goto(`${stage.url}/ui/approvals`);
    await pictures(page, 'approvals');
    const focused = () => page.evaluate(() => document.activeElement?.textContent);
    for (let presses = 0; presses < 40 && (await focused()) !== 'Deny'; presses += 1) await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByText('builder is denied shell.rm').waitFor();
    await page.locator(`#ended`).getByText('shell.rm').waitFor();
    const { id: other } = await api('/v1/approvals', { agent: 'builder', key: 'shell.ls', question: { tool: 'shell' } });
    await page.getByRole('heading', { name: 'shell.ls' }).waitFor();
    assert.ok(await page.getByText('builder is denied shell.rm').isVisible(), 'what came of an answer stays');
    await api(`/v1/approvals/${other}/answer`, { decision: 'deny' });
    const headers = { authorization: `Bearer ${stage.token}` };
    const approval = await (await fetch(`${stage.url}/v1/approvals/${id}`, { headers })).json();
    assert.deepEqual([approval.decision, approval.answered_by], ['deny', 'dashboard']);
  },

  async 'a failover happens while it is watched'(page) {
    await page.goto(`${stage.url}/ui/pools`);
    const active = page.locator('#pool-gpt .active .name');
    assert.equal(await active.textContent(), 'gpt-1');
    const limit = JSON.stringify({ key: stage.account, how: '429' });
    assert.equal((await fetch(`${stage.control_url}/limit`, { method: 'POST', body: limit })).status, 200);
    assert.equal(await curl().done, '200', 'on the next member');
    await active.filter({ hasText: 'gpt-2' }).waitFor();
    const back = page.locator('#pool-gpt li', { hasText: 'gpt-1' }).locator('time');
    const first = await back.textContent();
    await page.waitForFunction((first) => document.querySelector('#pool-gpt li time')?.textContent !== first, first);
    await pictures(page, 'pools');
  },

  async 'credentials say how they are and what to do'(page) {
    await page.goto(`${stage.url}/ui/credentials`);
    await page.getByText('log in again').first().waitFor();
    await pictures(page, 'credentials');
    await page.goto(stage.url);
    await page.getByRole('link', { name: /reauth required/ }).click();
    await page.locator('#list b', { hasText: 'mail' }).waitFor();
    assert.equal(await page.locator('#list tbody tr:not(.note)').count(), 1);
  },

  async 'what changes while a page is asked for is seen'(page) {
    const place = `${stage.url}/ui/rules`;
    await page.goto(place);
    const [found, released] = [gate(), gate()];
    // One look of the page's is held back, with what it found.
    await page.route(place, async (route) => {
      const response = await route.fetch();
      found.open();
      await released.opened;
      await route.fulfill({ response });
    }, { times: 1 });
    await api('/v1/rules', { verdict: 'deny', host: 'first.example' });
    await found.opened;
    await listens(page);
    await api('/v1/rules', { verdict: 'deny', host: 'second.example' });
    await page.evaluate(() => window.heard);
    released.open();
    // Sooner than the page would ask anyway, since its stream ends after a minute.
    await page.locator('#rules').getByText('second.example').waitFor({ timeout: 40_000 });
  },

  async 'a rule is written, and tried before it is needed'(page) {
    await page.goto(`${stage.url}/ui/rules`);
    await page.locator('input[name=host]').fill('*.example.com');
    await page.locator('form[action="/ui/rules/add"] select[name=method]').selectOption('DELETE');
    await page.getByRole('button', { name: 'Write' }).click();
    await page.getByText('The rule is written.').waitFor();
    await page.locator('input[name=url]').fill('https://api.example.com/v1/things/7');
    await page.locator('#tester select').selectOption('DELETE');
    await page.getByRole('button', { name: 'Try' }).click();
    await page.locator('.outcome .pill', { hasText: 'ask' }).waitFor();
    await pictures(page, 'rules');
  },

  async 'channels say how it goes there, and are tried'(page) {
    await page.goto(`${stage.url}/ui/channels`);
    await page.locator('#channel-ops .pill', { hasText: 'delivers' }).waitFor();
    await page.locator('#channel-pager .pill', { hasText: 'failing' }).waitFor();
    await page.getByRole('button', { name: 'Test ops' }).focus();
    await page.keyboard.press('Enter');
    await page.getByText('ops has a message that asks nothing.').waitFor();
    await pictures(page, 'channels');
  },

  async 'the audit log is searched and verified'(page) {
    await page.goto(`${stage.url}/ui/audit`);
    await page.getByLabel('Search the log').fill('failover');
    await page.keyboard.press('Enter');
    await page.waitForURL('**/ui/audit?q=failover');
    assert.equal(await page.locator('#entries tbody tr', { has: page.locator('code', { hasText: /^failover$/ }) }).count(), 1);
    await page.getByRole('link', { name: 'Verify every entry' }).click();
    await page.locator('#verdict.good').waitFor();
    await pictures(page, 'audit');
  },

  async 'whoever logs out is out'(page) {
    await page.goto(`${stage.url}/ui/agents`);
    await pictures(page, 'agents');
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByLabel('Admin token').waitFor();
    await page.goto(`${stage.url}/ui/audit`);
    await page.getByLabel('Admin token').waitFor();
  },
};

mkdirSync(folder, { recursive: true });
const args = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
const executablePath = process.env.KEYHERD_TEST_CHROMIUM ?? '/usr/bin/chromium';
const browser = await chromium.launch({ executablePath, args: [...args, '--disable-dev-shm-usage'], timeout: PATIENCE });
try {
  const page = await open(browser, {});
  for (const [name, step] of Object.entries(steps)) {
    try {
      await step(page);
      assert.deepEqual(complaints, []);
    } catch (error) {
      await page.screenshot({ path: join(folder, 'failed.png') });
      throw new Error(`${name}: ${error.message}`, { cause: error });
    }
    console.log(name);
  }
} finally {
  await browser.close();
}
