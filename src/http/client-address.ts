import { BlockList, isIP } from 'node:net';
import { MirrorlatchError } from '../errors.ts';

/** Which proxies are believed when they say whose request they forward. */
export class TrustedProxies {
  readonly #list = new BlockList();

  /** @param addresses such as `127.0.0.1`, `::1`, `10.0.0.0/8`. @throws MirrorlatchError USAGE */
  constructor(addresses: readonly string[]) {
    for (const text of addresses) {
      const [address = '', bits, ...others] = text.split('/');
      const version = isIP(address);
      const length = bits === undefined ? undefined : Number(bits);
      const longest = version === 4 ? 32 : 128;
      const isLength = length === undefined || (/^\d+$/.test(bits ?? '') && length <= longest);
      if (version === 0 || !isLength || others.length > 0) {
        throw new MirrorlatchError(
          'USAGE',
          `${JSON.stringify(text)} is not the address of a proxy`,
          {
            hint: 'Give an address or a network, such as 127.0.0.1 or 10.0.0.0/8.',
          },
        );
      }
      const family = version === 4 ? 'ipv4' : 'ipv6';
      if (length === undefined) this.#list.addAddress(address, family);
      else this.#list.addSubnet(address, length, family);
    }
  }

  /** Whether a peer is trusted. One on a unix socket has no address, and is. */
  trusts(peer: string): boolean {
    if (peer === UNIX) return true;
    const version = isIP(peer);
    return version !== 0 && this.#list.check(peer, version === 4 ? 'ipv4' : 'ipv6');
  }

  /**
   * The address of the client behind trusted proxies: the last one that no trusted proxy has.
   *
   * @param forwarded the header X-Forwarded-For.
   */
  client(peer: string, forwarded: string | undefined): string {
    let client = peer;
    const hops = forwarded?.split(',').map((hop) => plainAddress(hop.trim())) ?? [];
    while (this.trusts(client)) {
      const hop = hops.pop();
      if (hop === undefined || isIP(hop) === 0) break;
      client = hop;
    }
    return client;
  }
}

/** Stands for the address of a peer on a unix socket. */
export const UNIX = 'unix';

/** An IPv4 address as such, also on an IPv6 socket; an IPv6 address without brackets. */
export function plainAddress(text: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(text)?.[1];
  return mapped ?? text.replace(/^\[(.*)\]$/, '$1');
}

/** The network that one client may have as a whole: an IPv4 address, or the first 64 bits of an IPv6 address. */
export function networkOf(address: string): string {
  return isIP(address) === 6 ? groupsOf(address, 4) : address;
}

/** What one owner may have of such networks (RFC 6177 for IPv6): the first 24 bits, or 48 of an IPv6 address. */
export function siteOf(address: string): string {
  switch (isIP(address)) {
    case 6:
      return groupsOf(address, 3);
    case 4:
      return address.slice(0, address.lastIndexOf('.'));
    default:
      return address;
  }
}

/** The first groups of 16 bits of an IPv6 address. */
function groupsOf(address: string, count: number): string {
  const [head = '', tail] = address.split('::');
  const groups = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - groups.length - after.length);
  return [...groups, ...Array<string>(zeros).fill('0'), ...after].slice(0, count).join(':');
}
