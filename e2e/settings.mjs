// What a test may change while the server runs, and the check on it.
//
//   access_ttl_seconds  lifetime of the access tokens issued from now on
//   delay_ms            how long each token answer is held back, after the server has acted on the request: the
//                       old refresh token is spent by then, so a caller that dies while it waits has lost the answer
//   drop_answers        that many of the next successful token answers are never sent: the server rotates, then
//                       the connection is reset
//   unavailable         that many of the next token requests get 503 and an HTML page, and never reach the server
//
// None of them touches the requests of /seed, except the lifetime.

const BOUNDS = {
  access_ttl_seconds: { min: 1, max: 31_536_000 },
  delay_ms: { min: 0, max: 600_000 },
  drop_answers: { min: 0, max: 1_000_000 },
  unavailable: { min: 0, max: 1_000_000 },
};

export function createSettings(start) {
  const settings = { access_ttl_seconds: 3600, delay_ms: 0, drop_answers: 0, unavailable: 0 };
  return changeSettings(settings, start);
}

/** Applies all of `change`, or throws a RangeError that names the first bad key and applies none. */
export function changeSettings(settings, change) {
  for (const [name, value] of Object.entries(change)) {
    const bounds = BOUNDS[name];
    if (!bounds) throw new RangeError(`unknown setting: ${name}`);
    if (!Number.isInteger(value) || value < bounds.min || value > bounds.max) {
      throw new RangeError(`${name} must be a whole number from ${bounds.min} to ${bounds.max}`);
    }
  }
  return Object.assign(settings, change);
}

export function clearFaults(settings) {
  changeSettings(settings, { drop_answers: 0, unavailable: 0 });
}
