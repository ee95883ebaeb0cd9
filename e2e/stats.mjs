// What the token endpoint saw. Counts only; never a token.

import { createHash } from 'node:crypto';

export class Stats {
  #inFlight = 0;

  // By hash of a refresh token: how often it was presented, and whether it was exchanged. A reset keeps them: a
  // replay is a replay for ever.
  #presented = new Map();

  constructor() {
    this.reset();
  }

  reset() {
    this.counts = {
      // Requests that reached the server, by the grant type they named ("unknown" if none could be read).
      token_calls: {},
      // Those that got tokens, by grant type; the answer may have been dropped afterwards.
      successes: {},
      // Refreshes that got tokens, by account.
      refreshes_by_account: {},
      // Those that were refused, by OAuth error code.
      errors: {},
      // The server's own finding: a consumed refresh token was presented. It revokes the grant then.
      reuse_detected: 0,
      // Grants that the server revoked, for whatever reason.
      grants_revoked: 0,
      // Our own count of refresh tokens presented after they had been exchanged. Unlike the server it also sees
      // two requests that race each other, and reuse after the grant is gone.
      replays: 0,
      in_flight_max: this.#inFlight,
      // Faults that were injected.
      dropped: 0,
      unavailable: 0,
    };
  }

  snapshot() {
    return { ...this.counts, in_flight: this.#inFlight };
  }

  enter() {
    this.#inFlight += 1;
    this.counts.in_flight_max = Math.max(this.counts.in_flight_max, this.#inFlight);
  }

  leave() {
    this.#inFlight -= 1;
  }

  /** `error` is the OAuth error code, absent where the server answered with tokens. To be called once it is done. */
  called({ grantType = 'unknown', refreshToken, account, error }) {
    bump(this.counts.token_calls, grantType);
    if (!error) bump(this.counts.successes, grantType);
    if (typeof refreshToken !== 'string') return;
    if (!error) bump(this.counts.refreshes_by_account, account);
    // Any other error says nothing of the refresh token: the request failed before the server looked at it.
    if (!error || error === 'invalid_grant') this.#countReplays(refreshToken, !error);
  }

  /** Of requests that race, a refused one may be done before the one that was granted: so the order is not asked. */
  #countReplays(refreshToken, exchanged) {
    const hash = createHash('sha256').update(refreshToken).digest('base64url');
    const before = this.#presented.get(hash) ?? { times: 0, exchanged: false };
    const after = { times: before.times + 1, exchanged: before.exchanged || exchanged };
    this.#presented.set(hash, after);
    this.counts.replays += replaysOf(after) - replaysOf(before);
  }

  refused(error) {
    bump(this.counts.errors, error.error ?? 'server_error');
    if (error.error_detail === 'refresh token already used') this.counts.reuse_detected += 1;
  }
}

function replaysOf({ times, exchanged }) {
  return exchanged ? times - 1 : 0;
}

function bump(counts, key) {
  counts[key] = (counts[key] ?? 0) + 1;
}
