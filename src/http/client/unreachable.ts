import { errnoOf, MirrorlatchError } from '../../errors.ts';
import { quoteForSh } from '../../system/quote.ts';
import { whyNoTls } from '../../system/tls.ts';

/** A proxy that a request went by, and what names it, in words. */
export interface UsedProxy {
  readonly url: URL;
  readonly from: string;
}

/** What to say of a URL that gives no answer: why, and the way out. Pure. */
export function unreachable(url: URL, proxy: UsedProxy | undefined, cause: unknown) {
  const asked = proxy?.url ?? url;
  const by = proxy === undefined ? '' : ` by the proxy ${proxy.url.origin}`;
  const message = `${url.href} cannot be reached${by}: ${reasonOf(cause, asked)}`;
  const hint = proxy === undefined ? wayOut(cause, asked) : wayPast(proxy, url);
  return new MirrorlatchError('UNAVAILABLE', message, { hint, cause });
}

/** How to do without a proxy. It works for what the command requests, too: the guard's proxy does as the variable says. Pure. */
export function wayPast({ url, from }: UsedProxy, { hostname }: URL): string {
  const host = quoteForSh(hostname.replace(/^\[|\]$/g, ''));
  return `The proxy ${url.origin} is named by ${from}. If this host reaches the mirror without it, add the mirror to the variable no_proxy: export no_proxy="$no_proxy,"${host}`;
}

function reasonOf(cause: unknown, { hostname, host }: URL): string {
  switch (errnoOf(cause)) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `the name ${hostname} is not found (${errnoOf(cause)})`;
    case 'ECONNREFUSED':
      return `nothing listens at ${host} (ECONNREFUSED)`;
    case 'UND_ERR_SOCKET':
    case 'ECONNRESET':
      return 'the connection was closed without an answer';
    default:
      return whyNoTls(cause) ?? saidBy(cause);
  }
}

function saidBy(cause: unknown): string {
  return cause instanceof Error && cause.message !== '' ? cause.message : String(cause);
}

function wayOut(cause: unknown, { href, hostname, port }: URL): string {
  const code = errnoOf(cause) ?? '';
  if (['ENOTFOUND', 'EAI_AGAIN'].includes(code))
    return `Check the URL, and what this host knows of the name: getent hosts ${quoteForSh(hostname)}`;
  if (/CERT|SIGNATURE/.test(code))
    return 'Let this host trust the certificate, or name a file with that of its authority in SSL_CERT_FILE.';
  if (whyNoTls(cause) !== undefined) {
    const plain = href.replace(/^https:/, 'http:');
    return port === ''
      ? 'Check the URL, and what listens at the port 443 of that host.'
      : `Name the port at which it has https:, or, if it has none: ${plain}`;
  }
  return 'Check the URL, its http: or https: and its port too, and that its web server runs.';
}
