// Shakes hands through the proxy of the environment: dials one host, and wants a certificate of another, or of the same.
//
//     node handshake.mjs HOST:PORT NAME
//
// Trusts what NODE_EXTRA_CA_CERTS holds. Prints one line: the name, or why the certificate was refused.
import { request } from 'node:http';
import { connect } from 'node:tls';

const [dialled, servername] = process.argv.slice(2);
const proxy = new URL(process.env.HTTPS_PROXY);
const asked = request({
  host: proxy.hostname,
  port: proxy.port,
  method: 'CONNECT',
  path: dialled,
  headers: { 'proxy-authorization': `Basic ${btoa(`${proxy.username}:${proxy.password}`)}` },
  timeout: 30_000,
});
asked.on('connect', (answer, socket) => {
  const tunnel = connect({ socket, servername });
  const told = (line) => {
    console.log(line);
    socket.destroy();
  };
  tunnel.on('secureConnect', () => told(servername));
  tunnel.on('error', (error) => told(error.message));
});
asked.end();
