import { expect, test } from 'vitest';
import { TrustedProxies, UNIX } from '../../../src/http/client-address.ts';

const proxies = new TrustedProxies(['127.0.0.1', '10.0.0.0/8', '2001:db8::/32']);

test.for([
  [
    'a peer that is no proxy is the client, whatever it says',
    '192.0.2.1',
    '198.51.100.1',
    '192.0.2.1',
  ],
  ['a proxy names its client', '127.0.0.1', '192.0.2.1', '192.0.2.1'],
  ['so does one on a unix socket', UNIX, '192.0.2.1', '192.0.2.1'],
  [
    'what a client says before its proxy does not count',
    '127.0.0.1',
    '1.2.3.4, 192.0.2.1',
    '192.0.2.1',
  ],
  ['a chain of proxies', '127.0.0.1', '192.0.2.1, 10.1.2.3', '192.0.2.1'],
  ['a client in the network of the proxies', '127.0.0.1', '10.1.2.3', '10.1.2.3'],
  ['IPv6', '2001:db8::1', '2001:db9::5', '2001:db9::5'],
  ['no word of a client', '127.0.0.1', undefined, '127.0.0.1'],
  ['nonsense', '127.0.0.1', 'evil', '127.0.0.1'],
] as const)('%s', ([_, peer, forwarded, client]) => {
  expect(proxies.client(peer, forwarded)).toBe(client);
});

test.for([
  '',
  'proxy.example.org',
  '10.0.0.0/33',
  '10.0.0.0/',
  '10.0.0.0/8x',
  '10.0.0.0/8/9',
  '::1/129',
])('%j is refused as the address of a proxy', (address) => {
  expect(() => new TrustedProxies([address])).toThrow('is not the address of a proxy');
});
