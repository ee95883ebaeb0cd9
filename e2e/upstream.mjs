// A stand-in for the APIs that agents call, on loopback: OpenAI's chat completions, Anthropic's messages, Slack's methods,
// and an echo; behind TLS also a gRPC service, a WebSocket and git repositories.
//
//   node upstream.mjs [--certificate FILE --key FILE] [--repositories FOLDER]
//
// Once it listens, it prints one line of JSON on standard output: {"url", "control_url"}. It ends when its standard
// input closes. With a certificate it speaks TLS, and HTTP/2 to whoever asks for that. An account is known by its key:
// `Authorization: Bearer` or the password in `Basic`, or `x-api-key` for messages. Many answers say that key again, as a
// careless API might: `id`, `seen`.
//
//   POST {control_url}/limit  {"key", "how"}: from now on that account is answered so: "429"; "quota", which is a 403
//                             with a quota's code; "stream", which is a stream that opens with 200 and then says that a
//                             limit is used up; "401"; or "none".
//   GET  {control_url}/seen   [{"path", "key", "headers", "url", "body", "version"}], in order.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createSecureServer } from 'node:http2';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';

import { WebSocketServer } from 'ws';

import { serveRepositories } from './git-backend.mjs';

const limits = new Map();
const seen = [];
const WORDS = ['hel', 'lo', ' there'];

const { values: flags } = parseArgs({
  options: { certificate: { type: 'string' }, key: { type: 'string' }, repositories: { type: 'string' } },
});

// Whoever left, or asked what makes no sense, costs only their own connection.
function answer(request, response) {
  read(request, response).catch(() => response.destroy());
}

async function read(request, response) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const { key, path } = see(request, body.toString());
  if (refuse(limits.get(key), response)) return;
  if (path === '/v1/chat/completions') completions(JSON.parse(body), key, response);
  else if (path === '/v1/messages') messages(JSON.parse(body), key, response);
  else if (path === '/api/chat.postMessage') json(response, 200, { ok: true, ...JSON.parse(body), seen: key });
  else if (path === '/echo') echo(key, request, response);
  else if (path.startsWith('/keyherd.Chat/')) grpc(path, body.subarray(5).toString(), response);
  else if (path.startsWith('/git/')) serveRepositories(flags.repositories, key, { request, response, body });
  else json(response, 200, { method: request.method, path, length: body.length });
}

function see({ url, headers, httpVersion: version }, body) {
  const [scheme, word] = (headers.authorization ?? '').split(' ');
  const bearer = scheme === 'Basic' ? Buffer.from(word, 'base64').toString().split(':')[1] : word;
  const [key, path] = [headers['x-api-key'] ?? bearer ?? '', new URL(url, 'http://stand-in').pathname];
  seen.push({ path, key, headers, url, body, version });
  return { key, path };
}

function createApi() {
  if (!flags.certificate) return createServer(answer);
  const [cert, key] = [flags.certificate, flags.key].map((file) => readFileSync(file));
  const api = createSecureServer({ cert, key, allowHTTP1: true }, answer);
  const sockets = new WebSocketServer({ noServer: true });
  api.on('upgrade', (request, socket, head) => {
    see(request, '');
    sockets.handleUpgrade(request, socket, head, (upgraded) => {
      upgraded.on('message', (text) => WORDS.forEach((word) => upgraded.send(`${text}: ${word}`)));
    });
  });
  return api;
}

const control = createServer(async (request, response) => {
  let body = '';
  for await (const chunk of request) body += chunk;
  if (request.url === '/limit') {
    const { key, how } = JSON.parse(body);
    limits.set(key, how);
    json(response, 200, {});
  } else {
    json(response, 200, seen);
  }
});

function refuse(how, response) {
  if (how === '429') {
    response.setHeader('retry-after', '600');
    json(response, 429, { error: { type: 'requests', code: 'rate_limit_exceeded', message: 'slow down' } });
  } else if (how === 'quota') {
    json(response, 403, { error: { code: 'insufficient_quota', message: 'nothing is left' } });
  } else if (how === '401') {
    json(response, 401, { error: { code: 'invalid_api_key', message: 'who are you' } });
  } else if (how === 'stream') {
    events(response, [['error', { type: 'error', error: { type: 'rate_limit_error', message: 'slow down' } }]]);
  } else {
    return false;
  }
  return true;
}

function completions({ stream }, key, response) {
  const shared = { id: `chatcmpl-${key}`, created: 1, model: 'stand-in' };
  if (!stream) {
    const message = { role: 'assistant', content: WORDS.join('') };
    json(response, 200, {
      ...shared,
      object: 'chat.completion',
      choices: [{ index: 0, message, finish_reason: 'stop', logprobs: null }],
    });
    return;
  }
  const chunk = (content) => ({
    ...shared,
    object: 'chat.completion.chunk',
    choices: [{ index: 0, delta: { content }, finish_reason: null }],
  });
  events(response, [...WORDS.map((word) => [null, chunk(word)]), [null, '[DONE]']]);
}

function messages({ stream }, key, response) {
  const message = {
    id: `msg_${key}`,
    type: 'message',
    role: 'assistant',
    model: 'stand-in',
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage: { input_tokens: 1, output_tokens: 1 },
  };
  if (!stream) {
    json(response, 200, { ...message, content: [{ type: 'text', text: WORDS.join('') }], stop_reason: 'end_turn' });
    return;
  }
  const event = (type, more) => [type, { type, ...more }];
  events(response, [
    event('message_start', { message }),
    event('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
    ...WORDS.map((text) => event('content_block_delta', { index: 0, delta: { type: 'text_delta', text } })),
    event('content_block_stop', { index: 0 }),
    event('message_delta', { delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: 3 } }),
    event('message_stop', {}),
  ]);
}

function echo(key, request, response) {
  const packs = request.headers['accept-encoding']?.includes('gzip');
  response.writeHead(200, { 'content-type': 'application/json', ...(packs && { 'content-encoding': 'gzip' }) });
  const text = JSON.stringify({ seen: key });
  response.end(packs ? gzipSync(text) : text);
}

// Answers `Ask` with one message and `Tell` with one for each word, without a schema: a message is its text. The frames
// are gRPC's: a byte that says it is not compressed, the length, the message.
function grpc(path, question, response) {
  const texts = path.endsWith('/Ask') ? [WORDS.join('')] : WORDS;
  response.writeHead(200, { 'content-type': 'application/grpc' });
  for (const text of texts) {
    const message = Buffer.from(`${question}: ${text}`);
    const head = Buffer.alloc(5);
    head.writeUInt32BE(message.length, 1);
    response.write(Buffer.concat([head, message]));
  }
  response.addTrailers({ 'grpc-status': '0' });
  response.end();
}

function events(response, list) {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  for (const [name, data] of list) {
    if (name) response.write(`event: ${name}\n`);
    response.write(`data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`);
  }
  response.end();
}

function json(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

const listening = (server, place) =>
  new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve(`${place}:${server.address().port}`));
  });

const url = await listening(createApi(), flags.certificate ? 'https://localhost' : 'http://127.0.0.1');
const control_url = await listening(control, 'http://127.0.0.1');
console.log(JSON.stringify({ url, control_url }));
process.stdin.resume().on('end', () => process.exit(0));
