import { errnoOf } from '../errors.ts';

/** What OpenSSL calls an answer that is no TLS, and Node, if it does not know that either. */
const NO_TLS = ['ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_PACKET_LENGTH_TOO_LONG', 'EPROTO'];

/**
 * Why a connection with TLS does not come about, in words for which OpenSSL's are no help; undefined for another reason,
 * a certificate among them.
 */
export function whyNoTls(cause: unknown): string | undefined {
  const code = errnoOf(cause) ?? '';
  if (NO_TLS.includes(code)) return 'what answers there speaks no TLS';
  if (!code.startsWith('ERR_SSL_') || /CERT/.test(code)) return undefined;
  return `it and this host know no kind of TLS that suits both (${code})`;
}
