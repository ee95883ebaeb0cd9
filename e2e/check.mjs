// Checks that the server under the tests does what the tests believe of it: `npm run check`.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const ROTATIONS = 200;

const child = spawn(process.execPath, [fileURLToPath(new URL('provider.mjs', import.meta.url)), '--access-ttl', '2'], {
  stdio: ['pipe', 'pipe', 'inherit'],
});
process.on('exit', () => child.kill());
const [line] = await once(createInterface({ input: child.stdout }), 'line');
const server = JSON.parse(line);

for (const client of ['basic', 'post', 'none']) await longChain(client);
await reuseIsDetected();
await racingReplayIsCounted();
await lostAnswers();
await tokensExpire();
await badControlRequests();
await clientCredentials();
await endsWithItsInput();
console.log('e2e: the OAuth server behaves as the tests believe');

async function longChain(client) {
  await control('POST', 'reset');
  const seeded = await control('POST', 'seed', { client, account: `chain-${client}` });
  assert.equal(seeded.token_url, server.token_url);
  assert.equal(seeded.expires_in, 2);
  let current = seeded.refresh_token;
  for (let i = 0; i < ROTATIONS; i += 1) {
    const { status, body } = await refresh(client, current);
    assert.equal(status, 200, JSON.stringify(body));
    assert.notEqual(body.refresh_token, current);
    current = body.refresh_token;
  }
  const stats = await control('GET', 'stats');
  assert.deepEqual(stats.successes, { authorization_code: 1, refresh_token: ROTATIONS });
  assert.deepEqual(stats.refreshes_by_account, { [`chain-${client}`]: ROTATIONS });
  assert.deepEqual([stats.errors, stats.reuse_detected, stats.replays], [{}, 0, 0]);
}

async function reuseIsDetected() {
  await control('POST', 'reset');
  const first = (await control('POST', 'seed')).refresh_token;
  const second = (await refresh('basic', first)).body.refresh_token;
  const third = (await refresh('basic', second)).body.refresh_token;
  const replay = await refresh('basic', first);
  assert.deepEqual([replay.status, replay.body.error], [400, 'invalid_grant']);
  const revoked = await refresh('basic', third);
  assert.deepEqual([revoked.status, revoked.body.error], [400, 'invalid_grant']);
  const stats = await control('GET', 'stats');
  assert.deepEqual(stats.errors, { invalid_grant: 2 });
  assert.deepEqual([stats.reuse_detected, stats.grants_revoked, stats.replays], [1, 1, 1]);
}

async function racingReplayIsCounted() {
  await control('POST', 'reset');
  const { refresh_token: spent } = await control('POST', 'seed');
  await Promise.all([refresh('basic', spent), refresh('basic', spent), refresh('basic', spent)]);
  const stats = await control('GET', 'stats');
  assert.equal(stats.token_calls.refresh_token, 3);
  assert.equal(stats.replays, 2);
}

async function lostAnswers() {
  await control('POST', 'reset');
  const { refresh_token: token } = await control('POST', 'seed');
  await control('POST', 'configure', { unavailable: 1, delay_ms: 50 });
  assert.equal((await refresh('basic', token)).status, 503);
  await control('POST', 'configure', { drop_answers: 1 });
  await assert.rejects(refresh('basic', token), /fetch failed/);
  assert.equal((await refresh('basic', token)).body.error, 'invalid_grant');
  const stats = await control('GET', 'stats');
  assert.deepEqual([stats.unavailable, stats.dropped, stats.reuse_detected, stats.in_flight], [1, 1, 1, 0]);
  await control('POST', 'configure', { delay_ms: 0 });
}

async function tokensExpire() {
  // Long enough to be seen alive on a machine that is busy.
  await control('POST', 'configure', { access_ttl_seconds: 5 });
  const { access_token: token } = await control('POST', 'seed', { account: 'expires' });
  assert.equal(await userinfoStatus(token), 200);
  // The server counts whole seconds; asking again until it refuses needs no guess at how many.
  const deadline = Date.now() + 30_000;
  while (await userinfoStatus(token) === 200) assert.ok(Date.now() < deadline, 'the access token never expired');
  assert.equal(await userinfoStatus(token), 401);
}

async function badControlRequests() {
  for (const [method, path, body, status] of [
    ['GET', 'nothing', undefined, 404],
    ['POST', 'configure', { no_such: 1 }, 400],
    ['POST', 'configure', { delay_ms: -1 }, 400],
    ['POST', 'seed', { client: 'toString' }, 400],
  ]) {
    const answer = await request(method, path, body);
    assert.equal(answer.status, status, path);
  }
}

async function clientCredentials() {
  const { status, body } = await token('basic', { grant_type: 'client_credentials' });
  assert.equal(status, 200);
  assert.equal(body.refresh_token, undefined);
  const wrong = await fetch(server.token_url, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa('keyherd-basic:wrong')}` },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  });
  assert.deepEqual([wrong.status, (await wrong.json()).error], [401, 'invalid_client']);
}

async function endsWithItsInput() {
  child.stdin.end();
  assert.deepEqual(await once(child, 'exit'), [0, null]);
}

async function refresh(client, refreshToken) {
  return token(client, { grant_type: 'refresh_token', refresh_token: refreshToken });
}

async function token(client, params) {
  const { client_id: id, client_secret: secret } = server.clients[client];
  const headers = client === 'basic' ? { authorization: `Basic ${btoa(`${id}:${secret}`)}` } : {};
  const own = { basic: {}, post: { client_id: id, client_secret: secret }, none: { client_id: id } }[client];
  const body = new URLSearchParams({ ...params, ...own });
  const answer = await fetch(server.token_url, { method: 'POST', headers, body });
  const json = answer.headers.get('content-type').includes('json');
  return { status: answer.status, body: json ? await answer.json() : await answer.text() };
}

async function userinfoStatus(accessToken) {
  return (await fetch(server.userinfo_url, { headers: { authorization: `Bearer ${accessToken}` } })).status;
}

async function control(method, path, body) {
  const answer = await request(method, path, body);
  const json = await answer.json();
  assert.equal(answer.status, 200, JSON.stringify(json));
  return json;
}

async function request(method, path, body) {
  return fetch(`${server.control_url}/${path}`, { method, body: body && JSON.stringify(body) });
}
