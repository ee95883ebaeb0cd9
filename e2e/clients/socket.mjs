// Says a word over a WebSocket, through the proxy of the environment, as the users of `ws` do: node socket.mjs URL
//
// The key stands in the environment, as KEY. Prints one line of JSON: the text, and in how many messages it came.

import { HttpsProxyAgent } from 'https-proxy-agent';
import WebSocket from 'ws';

const WORDS = 3;

const socket = new WebSocket(process.argv[2], {
  agent: new HttpsProxyAgent(process.env.HTTPS_PROXY),
  handshakeTimeout: 30_000,
  headers: { authorization: `Bearer ${process.env.KEY}` },
});
const texts = [];
socket.on('open', () => socket.send('say'));
socket.on('message', (text) => {
  texts.push(String(text));
  if (texts.length === WORDS) socket.close();
});
socket.on('close', () => console.log(JSON.stringify({ text: texts.join(''), parts: texts.length })));
