/** Where the variable is kept meanwhile. */
const KEPT = 'CERTIFICATES_FOR_DOWNLOADS';

/**
 * Sets aside what Node would read at every start of the program and of its own workers: certificates, as of a proxy
 * that looks into https. To parse those of a whole Debian takes 50 ms, more than Node needs for itself, and none of the
 * tests but those that download has a use for them: the program goes by SSL_CERT_FILE.
 */
export default function setCertificatesAside(): void {
  const file = process.env['NODE_EXTRA_CA_CERTS'];
  if (file === undefined) return;
  process.env[KEPT] = file;
  delete process.env['NODE_EXTRA_CA_CERTS'];
}

/** The environment of a program of Node that may download. */
export const forDownloads = { NODE_EXTRA_CA_CERTS: process.env[KEPT] };
