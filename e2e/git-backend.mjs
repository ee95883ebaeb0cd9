// Repositories over HTTP, as `git http-backend` serves them: a CGI program of git's own (RFC 3875), asked for each request.

import { spawn } from 'node:child_process';

/** Answers below /git/ to whoever has a key, from the bare repositories in `folder`. */
export function serveRepositories(folder, key, { request, response, body }) {
  if (!key) {
    response.writeHead(401, { 'www-authenticate': 'Basic realm="repositories"' }).end();
    return;
  }
  const url = new URL(request.url, 'http://stand-in');
  const backend = spawn('git', ['http-backend'], {
    env: {
      PATH: process.env.PATH,
      GIT_PROJECT_ROOT: folder,
      GIT_HTTP_EXPORT_ALL: '1',
      PATH_INFO: url.pathname.replace('/git', ''),
      QUERY_STRING: url.search.slice(1),
      REQUEST_METHOD: request.method,
      CONTENT_TYPE: request.headers['content-type'] ?? '',
      CONTENT_LENGTH: String(body.length),
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
      GIT_PROTOCOL: request.headers['git-protocol'] ?? '',
    },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const said = [];
  backend.stdout.on('data', (chunk) => said.push(chunk));
  backend.on('close', () => pass(Buffer.concat(said), response));
  backend.stdin.end(body);
}

function pass(said, response) {
  const end = said.indexOf('\r\n\r\n');
  const headers = said.subarray(0, end).toString().split('\r\n').map((line) => line.split(': '));
  const status = headers.find(([name]) => name === 'Status')?.[1] ?? '200';
  response.writeHead(parseInt(status, 10), Object.fromEntries(headers.filter(([name]) => name !== 'Status')));
  response.end(said.subarray(end + 4));
}
