import { createHash } from 'node:crypto';
import { MirrorlatchError } from '../errors.ts';
import { runProgram } from '../system/process.ts';
import { whyNoTls } from '../system/tls.ts';
import type { Notice } from './notice.ts';

/** Where notices go. */
export interface Recipients {
  /** Addresses for sendmail(8). */
  readonly mail: readonly string[];
  /** URLs that get a POST of one object. */
  readonly webhooks: readonly string[];
  /** The service manager, which shows it as the state of the unit; without one, nothing. */
  readonly systemd: boolean;
}

/** One way on which a notice goes. */
export interface Recipient {
  /** Under this name it is remembered what was told. A URL may be a secret, so it is not in it. */
  readonly key: string;
  /** @throws MirrorlatchError UNAVAILABLE when it does not take the notice. */
  send(notice: Notice): Promise<void>;
}

export function recipientsIn({ mail, webhooks, systemd }: Recipients): Recipient[] {
  const hasManager = systemd && process.env['NOTIFY_SOCKET'] !== undefined;
  return [
    ...mail.map((address) => ({
      key: `mail ${address}`,
      send: (notice: Notice) => sendMail(notice, address),
    })),
    ...webhooks.map((url) => ({
      key: `webhook ${createHash('sha256').update(url).digest('hex').slice(0, 16)}`,
      send: (notice: Notice) => post(notice, url),
    })),
    ...(hasManager ? [{ key: 'systemd', send: tellManager }] : []),
  ];
}

/** How long a webhook may take; ms. */
const PATIENCE_MS = 20_000;

/** How long sendmail may take; s. */
const MAIL_PATIENCE_S = 60;

/** What timeout(1) ends with when the time is over. */
const TIMED_OUT = 124;

/** What it ends with when there is no such program. */
const NOT_THERE = 127;

/** Where sendmail is by the Filesystem Hierarchy Standard, if not in PATH. */
const SENDMAIL = '/usr/sbin/sendmail';

async function sendMail({ subject, text }: Notice, address: string): Promise<void> {
  const message = [
    `To: ${address}`,
    `Subject: mirrorlatch: ${asHeader(subject)}`,
    'MIME-Version: 1.0',
    'Content-Type: text/plain; charset=utf-8',
    'Content-Transfer-Encoding: 8bit',
    'Auto-Submitted: auto-generated',
    '',
    text,
    '',
  ].join('\n');
  // timeout(1) ends what sendmail has started, too. The address comes from the message, so that it is no option.
  const words = ['--kill-after=5', String(MAIL_PATIENCE_S), SENDMAIL, '-oi', '-t'];
  const { exitCode, stderr } = await runProgram('timeout', words, { input: Buffer.from(message) });
  if (exitCode === 0) return;
  if (exitCode === NOT_THERE)
    throw new MirrorlatchError('UNAVAILABLE', `no mail can be sent: there is no ${SENDMAIL}`, {
      hint: 'Install one, such as that of Postfix, Exim or msmtp-mta, or take a webhook: mirrorlatch help scheduling',
    });
  const end = exitCode === TIMED_OUT ? 'it takes too long' : `it ended with ${exitCode}`;
  const said = stderr.trim() === '' ? end : stderr.trim();
  throw new MirrorlatchError('UNAVAILABLE', `sendmail does not take the notice: ${said}`, {
    hint: 'Look in its own log, and try: echo test | sendmail root',
  });
}

/** RFC 2047 has another form for what is not ASCII; a line of a header is never longer than 998 bytes. */
function asHeader(text: string): string {
  const short = text.slice(0, 200);
  if (/^[ -~]*$/.test(short)) return short;
  return `=?utf-8?B?${Buffer.from(short.slice(0, 40)).toString('base64')}?=`;
}

async function post(notice: Notice, url: string): Promise<void> {
  const { host } = new URL(url);
  try {
    const answer = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'user-agent': 'mirrorlatch' },
      body: JSON.stringify(notice),
      signal: AbortSignal.timeout(PATIENCE_MS),
      // A POST that is redirected becomes a GET, which tells nobody anything.
      redirect: 'manual',
    });
    await answer.body?.cancel();
    if (answer.ok) return;
    throw new Error(`it answers ${answer.status}`);
  } catch (error) {
    // The URL itself may be a secret.
    throw new MirrorlatchError(
      'UNAVAILABLE',
      `the webhook on ${host} does not take the notice: ${causeOf(error)}`,
      {
        hint: 'The notice is sent again at the next look.',
        cause: error,
      },
    );
  }
}

/** fetch() says only that it failed. */
function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (!(error.cause instanceof Error)) return error.message;
  return whyNoTls(error.cause) ?? error.cause.message;
}

async function tellManager({ subject }: Notice): Promise<void> {
  const { exitCode, stderr } = await runProgram('systemd-notify', [`--status=${subject}`]);
  if (exitCode === 0) return;
  throw new MirrorlatchError('UNAVAILABLE', `systemd-notify failed: ${stderr.trim()}`, {
    hint: 'The service needs NotifyAccess=all.',
  });
}
