import { plainAddress, type TrustedProxies, UNIX } from '../client-address.ts';
import { bounded } from '../pins/bounded.ts';
import type { Client } from '../pins/run-table.ts';
import { type Exchange, headerOf } from './exchange.ts';

/** All of a User-Agent tells one client from another, and what is longer takes no more memory. That of pip has 420 characters. */
const LONGEST_AGENT = 200;

/** Who asks: the peer of a connection, and the client for whom it asks if it is a proxy that is trusted. */
export class Peers {
  readonly #proxies: TrustedProxies;

  constructor(proxies: TrustedProxies) {
    this.#proxies = proxies;
  }

  /** Whether the peer is a web server or proxy that says truly whose requests it forwards. */
  isTrusted(exchange: Exchange): boolean {
    return this.#proxies.trusts(peerOf(exchange));
  }

  /** The address of the client, behind the proxies that are trusted. */
  addressOf(exchange: Exchange): string {
    return this.#proxies.client(peerOf(exchange), headerOf(exchange, 'x-forwarded-for'));
  }

  clientOf(exchange: Exchange): Client {
    const agent = headerOf(exchange, 'user-agent') ?? '';
    return { address: this.addressOf(exchange), agent: bounded(agent, LONGEST_AGENT) };
  }

  /** The client as the reader of a channel: of one that reads current, too, the two are not one state. */
  clientOfChannel(exchange: Exchange, channel: string): Client {
    const { address, agent } = this.clientOf(exchange);
    return { address, agent: `${agent} channel ${channel}` };
  }
}

/** The address of the peer itself. */
export function peerOf({ request, isUnix }: Exchange): string {
  return isUnix ? UNIX : plainAddress(request.socket.remoteAddress ?? '');
}
