// A real OAuth server for keyherd's tests: npm `oidc-provider`, which nobody here wrote, on loopback.
//
// It rotates the refresh token at every use and, when a spent one comes back, revokes the whole grant.
// Both are the server's own doing; nothing here imitates them. Everything lives in memory.
//
//   node provider.mjs [--access-ttl SECONDS] [--delay-ms MILLISECONDS]
//
// Once it listens, it prints one line of JSON on standard output, and nothing else, ever:
//
//   {"issuer", "token_url", "authorize_url", "device_url", "userinfo_url", "control_url",
//    "client_id", "client_secret", "clients": {"basic" | "post" | "none": {"client_id", "client_secret"?}}}
//
// `client_id` and `client_secret` at the top are those of the `basic` client. `userinfo_url` takes an access
// token as bearer and answers 401 once it has expired: an upstream that really checks. A login page at
// `authorize_url` consents by itself, as the account that `login_hint` names.
//
// It ends when its standard input closes, so that a test that dies leaves nothing behind. To try it by hand,
// keep the input open: `sleep infinity | node provider.mjs`.
//
// The control surface (see control.mjs) has a port of its own; `control_url` has no trailing slash:
//
//   POST {control_url}/seed       {"client"?: "basic" | "post" | "none", "account"?, "scope"?}
//       Logs in through the real authorization code flow with PKCE, as a browser would, and answers
//       {"access_token", "refresh_token", "expires_in", "token_type", "scope", "account",
//        "client_id", "client_secret"?, "token_url"}. Each call makes a grant of its own.
//   GET  {control_url}/stats      counts since the start or the last reset; shape in stats.mjs.
//   POST {control_url}/reset      sets the counts to zero and clears the faults; tokens and grants stay.
//   POST {control_url}/configure  {"access_ttl_seconds"?, "delay_ms"?, "drop_answers"?, "unavailable"?}
//       answers all the settings as they now are; meanings in settings.mjs.

import { parseArgs } from 'node:util';

import { listenControl } from './control.mjs';
import { startOAuthServer } from './oauth-server.mjs';
import { createSettings } from './settings.mjs';
import { Stats } from './stats.mjs';

// The library reports notices with console.info, which would break the promise of one line on standard output.
console.info = console.error;
console.log = console.error;

process.stdin.resume();
for (const end of ['end', 'close', 'error']) process.stdin.on(end, () => process.exit(0));

const { values: flags } = parseArgs({
  options: {
    'access-ttl': { type: 'string', default: '3600' },
    'delay-ms': { type: 'string', default: '0' },
  },
});
const settings = createSettings({
  access_ttl_seconds: Number(flags['access-ttl']),
  delay_ms: Number(flags['delay-ms']),
});
const stats = new Stats();

const server = await startOAuthServer(settings, stats);
const controlUrl = await listenControl({ server, settings, stats });

process.stdout.write(`${JSON.stringify({
  issuer: server.issuer,
  token_url: server.tokenUrl,
  authorize_url: `${server.issuer}/auth`,
  device_url: `${server.issuer}/device/auth`,
  userinfo_url: `${server.issuer}/me`,
  control_url: controlUrl,
  ...server.clients.basic,
  clients: server.clients,
})}\n`);
