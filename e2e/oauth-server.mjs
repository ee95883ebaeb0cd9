// The OAuth server itself: how `oidc-provider` is configured, and what is hung in front of its token endpoint.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

import Provider, { errors } from 'oidc-provider';
import MemoryAdapter from 'oidc-provider/lib/adapters/memory_adapter.js';

/** Marks the requests of /seed, which faults must not touch. */
export const SEED_HEADER = 'x-keyherd-seed';

const REDIRECT_URI = 'http://127.0.0.1/callback';
const SCOPE = 'openid offline_access';
const LONG_SECONDS = 31_536_000;

/** Listens on a free loopback port; answers {issuer, tokenUrl, redirectUri, clients}. */
export async function startOAuthServer(settings, stats) {
  // The issuer holds the port, so the socket comes first and the server is hung on it.
  const http = createServer();
  await new Promise((resolve, reject) => {
    http.once('error', reject);
    http.listen(0, '127.0.0.1', 4096, resolve);
  });
  const issuer = `http://127.0.0.1:${http.address().port}`;
  const clients = createClients();

  const provider = new Provider(issuer, configuration(clients, settings));
  provider.use(countAndDisturb(settings, stats));
  provider.use(consentByItself(provider));
  provider.on('grant.error', (_ctx, error) => stats.refused(error));
  provider.on('grant.revoked', () => { stats.counts.grants_revoked += 1; });
  provider.on('server_error', (_ctx, error) => { stats.refused(error); console.error(error); });
  http.on('request', provider.callback());

  return { issuer, tokenUrl: `${issuer}/token`, redirectUri: REDIRECT_URI, clients };
}

/** One client for each way to authenticate, named as keyherd's profiles name it (`client_auth`). */
function createClients() {
  const secret = () => randomBytes(24).toString('base64url');
  return {
    basic: { client_id: 'keyherd-basic', client_secret: secret() },
    post: { client_id: 'keyherd-post', client_secret: secret() },
    none: { client_id: 'keyherd-none' },
  };
}

function configuration(clients, settings) {
  const storage = new Map();
  const accessTtl = () => settings.access_ttl_seconds;
  return {
    // The shipped adapter on an unbounded map: its own storage forgets after some thousand entries, and a spent
    // refresh token that is forgotten would be "not found" where reuse has to be detected.
    adapter: (model) => new MemoryAdapter(model, storage),
    clients: [
      clientMetadata(clients.basic, 'client_secret_basic'),
      clientMetadata(clients.post, 'client_secret_post'),
      clientMetadata(clients.none, 'none'),
    ],
    // As shipped, tokens are good for 15 seconds after they expire. A test that awaits an expiry wants it exact.
    clockTolerance: 0,
    cookies: { keys: [randomBytes(24).toString('base64url')] },
    features: {
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      devInteractions: { enabled: false },
      revocation: { enabled: true },
    },
    findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    jwks: { keys: [signingKey()] },
    // As shipped, confidential clients rotate only late in a token's life. Here: always.
    rotateRefreshToken: true,
    scopes: SCOPE.split(' '),
    ttl: {
      AccessToken: accessTtl,
      ClientCredentials: accessTtl,
      IdToken: accessTtl,
      // Long, so that a chain of any number of rotations only ever ends by reuse or revocation.
      Grant: LONG_SECONDS,
      Interaction: 600,
      RefreshToken: LONG_SECONDS,
      Session: LONG_SECONDS,
    },
  };
}

function clientMetadata(client, authMethod) {
  const grants = ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'];
  return {
    ...client,
    // RFC 8252, section 7.3: a native client may redirect to loopback, at any port.
    application_type: 'native',
    grant_types: client.client_secret ? [...grants, 'client_credentials'] : grants,
    id_token_signed_response_alg: 'ES256',
    redirect_uris: [REDIRECT_URI],
    response_types: ['code'],
    token_endpoint_auth_method: authMethod,
  };
}

function signingKey() {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...privateKey.export({ format: 'jwk' }), alg: 'ES256', kid: 'e2e', use: 'sig' };
}

function countAndDisturb(settings, stats) {
  return async (ctx, next) => {
    if (ctx.path !== '/token') return next();
    const seeding = ctx.get(SEED_HEADER) !== '';
    if (!seeding && settings.unavailable > 0) {
      settings.unavailable -= 1;
      stats.counts.unavailable += 1;
      ctx.status = 503;
      ctx.type = 'html';
      ctx.body = '<html><body><h1>503 Service Unavailable</h1></body></html>';
      return undefined;
    }
    stats.enter();
    try {
      await next();
      record(ctx, stats);
      if (seeding) return undefined;
      await sleep(settings.delay_ms);
    } finally {
      stats.leave();
    }
    if (ctx.status === 200 && settings.drop_answers > 0) {
      settings.drop_answers -= 1;
      stats.counts.dropped += 1;
      ctx.respond = false;
      ctx.req.socket.resetAndDestroy();
    }
    return undefined;
  };
}

function record(ctx, stats) {
  const { params, entities } = ctx.oidc ?? {};
  stats.called({
    grantType: params?.grant_type,
    refreshToken: params?.refresh_token,
    account: entities?.Account?.accountId,
    error: ctx.status === 200 ? undefined : ctx.body?.error ?? 'server_error',
  });
}

/** Answers both questions a browser would be asked, who it is and what it allows, without a page in between. */
function consentByItself(provider) {
  return async (ctx, next) => {
    if (!ctx.path.startsWith('/interaction/')) return next();
    const { grantId, params, prompt, session } = await provider.interactionDetails(ctx.req, ctx.res);
    const result = prompt.name === 'login'
      ? { login: { accountId: params.login_hint ?? 'tester' } }
      : { consent: { grantId: await saveGrant(provider, { grantId, params, session }) } };
    ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, result));
    ctx.status = 303;
    return undefined;
  };
}

async function saveGrant(provider, { grantId, params, session }) {
  const grant = grantId
    ? await provider.Grant.find(grantId)
    : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  if (!grant) throw new errors.InvalidGrant('the grant of this interaction is gone');
  grant.addOIDCScope(params.scope);
  return grant.save();
}
