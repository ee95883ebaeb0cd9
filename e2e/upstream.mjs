// A stand-in for the APIs that agents call, on loopback: OpenAI's chat completions, Anthropic's messages, and an echo.
//
//   node upstream.mjs
//
// Once it listens, it prints one line of JSON on standard output: {"url", "control_url"}. It ends when its standard
// input closes. An account is known by its key: `Authorization: Bearer`, or `x-api-key` for messages.
//
//   POST {control_url}/limit  {"key", "how"}: from now on that account is answered so: "429"; "quota", which is a 403
//                             with a quota's code; "stream", which is a stream that opens with 200 and then says that a
//                             limit is used up; "401"; or "none".
//   GET  {control_url}/seen   [{"path", "key", "headers"}], in order.

import { createServer } from 'node:http';

const limits = new Map();
const seen = [];
const WORDS = ['hel', 'lo', ' there'];

const api = createServer(async (request, response) => {
  let body = '';
  for await (const chunk of request) body += chunk;
  const key = request.headers['x-api-key'] ?? (request.headers.authorization ?? '').replace('Bearer ', '');
  const path = new URL(request.url, 'http://stand-in').pathname;
  seen.push({ path, key, headers: request.headers });
  if (refuse(limits.get(key), response)) return;
  const question = body ? JSON.parse(body) : {};
  if (path === '/v1/chat/completions') completions(question, response);
  else if (path === '/v1/messages') messages(question, response);
  else json(response, 200, { method: request.method, path, length: body.length });
});

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

function completions({ stream }, response) {
  const shared = { id: 'chatcmpl-1', created: 1, model: 'stand-in' };
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

function messages({ stream }, response) {
  const message = {
    id: 'msg_1',
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

const listening = (server) =>
  new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${server.address().port}`));
  });

const [url, control_url] = [await listening(api), await listening(control)];
console.log(JSON.stringify({ url, control_url }));
process.stdin.resume().on('end', () => process.exit(0));
