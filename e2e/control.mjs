// The control surface: the routes that provider.mjs lists. Loopback only, no authentication, for tests only.

import { createServer } from 'node:http';

import { seed } from './seed.mjs';
import { changeSettings, clearFaults } from './settings.mjs';

const BODY_BYTES_MAX = 64 * 1024;

/** Listens on a free loopback port; answers the URL that the routes hang on. */
export async function listenControl({ server, settings, stats }) {
  const routes = {
    'GET /control/stats': () => stats.snapshot(),
    'POST /control/configure': (body) => changeSettings(settings, body),
    'POST /control/reset': () => {
      stats.reset();
      clearFaults(settings);
      return stats.snapshot();
    },
    'POST /control/seed': (body) => seed(server, body),
  };
  const http = createServer((request, response) => {
    answer(routes, request).then(({ status, body }) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(`${JSON.stringify(body)}\n`);
    });
  });
  await new Promise((resolve, reject) => {
    http.once('error', reject);
    http.listen(0, '127.0.0.1', resolve);
  });
  return `http://127.0.0.1:${http.address().port}/control`;
}

async function answer(routes, request) {
  try {
    const name = `${request.method} ${request.url}`;
    const route = Object.hasOwn(routes, name) ? routes[name] : undefined;
    if (!route) return { status: 404, body: { error: 'no such route', routes: Object.keys(routes) } };
    return { status: 200, body: await route(await readJson(request)) };
  } catch (error) {
    const ours = !(error instanceof RangeError || error instanceof SyntaxError);
    return { status: ours ? 500 : 400, body: { error: error.message } };
  }
}

async function readJson(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > BODY_BYTES_MAX) throw new RangeError(`the body is larger than ${BODY_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString('utf8');
  const body = text.trim() === '' ? {} : JSON.parse(text);
  if (body === null || typeof body !== 'object' || Array.isArray(body)) {
    throw new RangeError('the body must be a JSON object');
  }
  return body;
}
