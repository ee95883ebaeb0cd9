// Logs in as a person with a browser would: the authorization code flow with PKCE (RFC 6749, section 4.1; RFC 7636),
// over HTTP, through every redirect and cookie.

import { createHash, randomBytes } from 'node:crypto';

import { SEED_HEADER } from './oauth-server.mjs';

const REDIRECTS_MAX = 10;

/** Answers what the token endpoint did, plus what a credential document needs beside it. */
export async function seed(server, { client = 'basic', account = 'tester', scope = 'openid offline_access' }) {
  const registered = Object.hasOwn(server.clients, client) ? server.clients[client] : undefined;
  if (!registered) throw new RangeError(`unknown client: ${client}`);
  const verifier = randomBytes(32).toString('base64url');
  const code = await authorize(server, { registered, account, scope, verifier });
  const tokens = await exchange(server, { client, registered, code, verifier });
  return {
    access_token: tokens.access_token,
    refresh_token: tokens.refresh_token,
    expires_in: tokens.expires_in,
    token_type: tokens.token_type,
    scope: tokens.scope,
    account,
    ...registered,
    token_url: server.tokenUrl,
  };
}

async function authorize(server, { registered, account, scope, verifier }) {
  const state = randomBytes(16).toString('base64url');
  let url = new URL(`${server.issuer}/auth?${new URLSearchParams({
    client_id: registered.client_id,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    login_hint: account,
    // OpenID Connect Core, section 11: offline access is granted only where consent is asked for.
    prompt: 'consent',
    redirect_uri: server.redirectUri,
    response_type: 'code',
    scope,
    state,
  })}`);
  const cookies = new Map();
  for (let redirects = 0; redirects < REDIRECTS_MAX; redirects += 1) {
    const answer = await fetch(url, {
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
      redirect: 'manual',
    });
    keepCookies(cookies, answer);
    const location = answer.headers.get('location');
    if (!location) throw new Error(`login stopped at ${url.pathname} with ${answer.status}: ${await answer.text()}`);
    url = new URL(location, url);
    if (url.href.startsWith(server.redirectUri)) return codeOf(url, state);
  }
  throw new Error(`login did not end within ${REDIRECTS_MAX} redirects`);
}

function keepCookies(cookies, answer) {
  for (const line of answer.headers.getSetCookie()) {
    const [pair] = line.split(';');
    const at = pair.indexOf('=');
    const [name, value] = [pair.slice(0, at), pair.slice(at + 1)];
    if (value === '') cookies.delete(name);
    else cookies.set(name, value);
  }
}

function codeOf(url, state) {
  const code = url.searchParams.get('code');
  if (!code || url.searchParams.get('state') !== state) throw new Error(`login was refused: ${url.search}`);
  return code;
}

async function exchange(server, { client, registered, code, verifier }) {
  const form = new URLSearchParams({
    grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: server.redirectUri,
  });
  const headers = { [SEED_HEADER]: '1' };
  if (client === 'basic') {
    headers.authorization = `Basic ${btoa(`${registered.client_id}:${registered.client_secret}`)}`;
  } else {
    for (const [name, value] of Object.entries(registered)) form.set(name, value);
  }
  const answer = await fetch(server.tokenUrl, { method: 'POST', headers, body: form });
  const tokens = await answer.json();
  if (!answer.ok) throw new Error(`code exchange failed: ${JSON.stringify(tokens)}`);
  return tokens;
}
