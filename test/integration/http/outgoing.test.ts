import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { Outgoing } from '../../../src/http/client/outgoing.ts';
import { servePlainly } from '../../support/http/plain-server.ts';
import { scratchDirectory } from '../../support/scratch.ts';

/** A proxy that notes what it is asked, and refuses it. */
async function refusingProxy(): Promise<{ host: string; requests: string[] }> {
  const requests: string[] = [];
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (chunk) => {
      requests.push(String(chunk));
      socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, requests };
}

const toOneExcepted = 'https://127.0.0.1:1/';
const toAnother = 'https://mirror.invalid/';

test.for([
  [toOneExcepted, toAnother],
  [toAnother, toOneExcepted],
])(
  'of %s and %s, which is asked after it, only that without an exception goes by the proxy',
  async (urls) => {
    const { host, requests } = await refusingProxy();
    const https = `http://me:p%ss@${host}`;
    const outgoing = new Outgoing({ http: undefined, https, except: '127.0.0.1' });
    onTestFinished(() => outgoing.close());
    for (const url of urls) await expect(outgoing.ask('GET', new URL(url))).rejects.toThrow(url);
    expect(requests).toEqual([expect.stringMatching(/^CONNECT mirror\.invalid:443 /)]);
    const authorization = `Basic ${Buffer.from('me:p%ss').toString('base64')}`;
    expect(requests[0]).toContain(`proxy-authorization: ${authorization}\r\n`);
  },
);

test('where https: meets a server without it, the reason is in plain words, with the way out', async () => {
  const outgoing = new Outgoing({ http: undefined, https: undefined, except: '' });
  onTestFinished(() => outgoing.close());
  const { url } = await servePlainly(scratchDirectory());
  const asked = outgoing.ask('GET', new URL(`${url.replace('http:', 'https:')}/debian/`));
  await expect(asked).rejects.toMatchObject({
    message: expect.stringMatching(/ cannot be reached: what answers there speaks no TLS$/),
    hint: `Name the port at which it has https:, or, if it has none: ${url}/debian/`,
  });
});
