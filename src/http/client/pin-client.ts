import { setTimeout as pause } from 'node:timers/promises';
import { hasCode, MirrorlatchError } from '../../errors.ts';
import { BASE_HEADER, CHANNEL_HEADER } from '../base-header.ts';
import { type KeepOptions, type KeptPin, keepPin } from './kept-pin.ts';
import { asChannel, type MirrorUrl, placeOf, withBase } from './mirror-url.ts';
import type { Answer, Outgoing } from './outgoing.ts';
import { authorized, fieldsOf, isGone, type PinState, stateOf, strictPin } from './pin-state.ts';
import { type UsedProxy, wayPast } from './unreachable.ts';

export interface PinOptions extends KeepOptions {
  /** Another snapshot than the current one: an id, or `previous`. */
  readonly snapshot?: string | undefined;
  /** Pin the current snapshot if that one is gone. */
  readonly orCurrent?: boolean | undefined;
  /** How long to wait while the server has nothing to read, in ms. Default: without limit. */
  readonly waitMs?: number | undefined;
  /** How long the server holds the snapshot unless the pin is renewed, in s. Default: as the server has it. */
  readonly pinSeconds?: number | undefined;
  /** Ends the wait. */
  readonly signal?: AbortSignal | undefined;
}

/** A server that says 503 without saying for how long is asked again so often, in s. */
const RETRY_SECONDS = 5;

/** No server is asked more often than each second, nor is any waited for longer than an hour, whatever it says; s. */
const [SHORTEST_SECONDS, LONGEST_SECONDS] = [1, 3600];

/**
 * Pins a mirror: strictly where a server of mirrorlatch answers, otherwise by the address in its current.json.
 *
 * @throws MirrorlatchError NO_MIRROR, UNAVAILABLE; BUSY if the server has nothing to read within `waitMs`.
 */
export async function pinByUrl(named: MirrorUrl, options: PinOptions): Promise<KeptPin> {
  const mirror = await located(named, options.outgoing);
  try {
    return keepPin(await pinned(mirror, options), options);
  } catch (error) {
    const { snapshot, orCurrent } = options;
    if (snapshot === undefined || !orCurrent || !hasCode(error, 'UNAVAILABLE')) throw error;
    return keepPin(await pinned(mirror, { ...options, snapshot: undefined }), options);
  }
}

/**
 * A server of mirrorlatch says where the mirror is whose clients find what is current, or a channel, right at the named
 * place.
 *
 * @throws MirrorlatchError USAGE when that is another channel than the one that was named, too.
 */
async function located(mirror: MirrorUrl, outgoing: Outgoing): Promise<MirrorUrl> {
  const { headers } = await outgoing.ask('HEAD', mirror.base, { headers: authorized(mirror) });
  const found = withBase(mirror, headers[BASE_HEADER], headers[CHANNEL_HEADER]);
  if (mirror.channel === undefined || found.channel === mirror.channel) return found;
  throw new MirrorlatchError(
    'USAGE',
    `${mirror.given} is the channel ${found.channel}, not ${mirror.channel}`,
    { hint: `Leave --channel out, or name the mirror itself: ${found.base.href}` },
  );
}

async function pinned(mirror: MirrorUrl, options: PinOptions): Promise<PinState> {
  const { outgoing, snapshot, pinSeconds, signal, onWarning } = options;
  const { waitMs = Number.POSITIVE_INFINITY } = options;
  const until = Date.now() + waitMs;
  const proxy = outgoing.usedProxyFor(mirror.base);
  const url = new URL('pins', mirror.base);
  for (let isFirst = true; ; isFirst = false) {
    let answer: Answer;
    try {
      answer = await outgoing.ask('POST', url, {
        headers: authorized(mirror),
        // What is undefined is no part of the JSON.
        body: { ...wanted(mirror, snapshot), seconds: pinSeconds },
      });
    } catch (unanswered) {
      if (proxy === undefined) throw unanswered;
      return unheldPin(mirror, options, proxy, unanswered);
    }
    const strict = strictPin(mirror, answer);
    if (strict !== undefined) return strict;
    refuseElsewhere(mirror, url, answer);
    if (answer.status !== 503) return plainPin(mirror, options, answer);
    const asked = Number(answer.headers['retry-after']) || RETRY_SECONDS;
    const seconds = Math.min(Math.max(asked, SHORTEST_SECONDS), LONGEST_SECONDS);
    if (Date.now() + seconds * 1000 > until) {
      throw new MirrorlatchError(
        'BUSY',
        `${mirror.given} has nothing to read: ${said(answer, proxy)}`,
        {
          hint: 'Wait longer by --wait, or try again later.',
        },
      );
    }
    if (isFirst) onWarning(`waiting for ${mirror.given}: ${said(answer, proxy)}`);
    await pause(seconds * 1000, undefined, { signal });
  }
}

/** A snapshot that is named by its id is one of the mirror, whatever its channels name. */
function wanted({ channel }: MirrorUrl, snapshot: string | undefined) {
  return snapshot === undefined ? { channel } : { snapshot };
}

/** A proxy such as apt-cacher-ng passes no POST. It may pass what a plain pin needs. @param unanswered what came of the POST. */
async function unheldPin(
  mirror: MirrorUrl,
  options: PinOptions,
  proxy: UsedProxy,
  unanswered: unknown,
): Promise<PinState> {
  const pin = await plainPin(mirror, options).catch(() => {
    throw unanswered;
  });
  options.onWarning(
    `${mirror.given}: the proxy ${proxy.url.origin} passes no POST, so nothing holds the snapshot ${pin.id}. ${wayPast(proxy, mirror.base)}`,
  );
  return pin;
}

/** @param refused what a server has answered to one who wants a strict pin. */
async function plainPin(
  mirror: MirrorUrl,
  options: Pick<PinOptions, 'outgoing' | 'snapshot'>,
  refused?: Answer,
): Promise<PinState> {
  const { outgoing, snapshot } = options;
  const { given, base, channel = 'current' } = mirror;
  const proxy = outgoing.usedProxyFor(base);
  if (refused?.status === 409 && refused.text.includes('written in place')) {
    throw new MirrorlatchError('UNAVAILABLE', `${given} cannot be pinned: it is written in place`, {
      hint: 'It has no snapshots, so there is nothing to hold. Run the command without `run --http`: while the mirror is written, its server answers 503 and when to come back.',
    });
  }
  const url = new URL(`${snapshot === undefined ? channel : 'current'}.json`, base);
  const answer = await outgoing.ask('GET', url, { headers: authorized(mirror) });
  refuseElsewhere(mirror, url, answer);
  const { format, id, path, previous } = answer.status === 200 ? fieldsOf(answer.text) : {};
  if (format !== 1 || typeof id !== 'string' || !isBelow(path)) {
    const beside = await channelBeside(mirror, outgoing);
    if (beside !== undefined) return plainPin(beside, options);
    const isOurs =
      refused !== undefined &&
      /mirrorlatch|snapshot|channel/i.test(refused.text) &&
      refused.status < 500;
    const missing =
      snapshot === undefined ? mirror.channel && `channel ${channel}` : `snapshot ${snapshot}`;
    throw new MirrorlatchError(
      answer.status === 404 && !isOurs ? 'NO_MIRROR' : 'UNAVAILABLE',
      isOurs && missing !== undefined
        ? `${given} has no ${missing}: ${said(refused, proxy)}`
        : `${given} cannot be pinned: ${answer.status === 200 ? `${url.href} is not a file of mirrorlatch` : said(answer, proxy, url)}`,
      { hint: [wholeMirror(mirror), proxy && wayPast(proxy, base)].filter(Boolean).join(' ') },
    );
  }
  const name = snapshot === 'previous' ? previous : (snapshot ?? id);
  if (typeof name !== 'string' || !isName(name)) {
    throw new MirrorlatchError('UNAVAILABLE', `${given} has no snapshot ${snapshot}`);
  }
  const target = name === id ? new URL(path, base) : new URL(`../${name}/`, new URL(path, base));
  const { status } = await outgoing.ask('HEAD', target, { headers: authorized(mirror) });
  if (isGone(status)) {
    throw new MirrorlatchError('UNAVAILABLE', `${given} has no snapshot ${name}`, {
      hint: `${target.href} does not exist. The URL has to lead to the whole mirror, with its snapshots/.`,
    });
  }
  return { ...stateOf(mirror), id: name, target: target.href };
}

/**
 * The mirror of which the named place is a channel. A web server that knows nothing of channels has what each names in a file
 * beside it. Where that is not there, but a mirror is, there is no such channel.
 */
async function channelBeside(
  mirror: MirrorUrl,
  outgoing: Outgoing,
): Promise<MirrorUrl | undefined> {
  const found = mirror.channel === undefined ? asChannel(mirror) : undefined;
  if (found === undefined) return undefined;
  for (const name of [found.channel, 'current']) {
    const url = new URL(`${name}.json`, found.base);
    const { status, text } = await outgoing.ask('GET', url, { headers: authorized(mirror) });
    const { format, path } = status === 200 ? fieldsOf(text) : {};
    if (format === 1 && isBelow(path)) return found;
  }
  return undefined;
}

/** A mirror that is elsewhere would be read there, past the pin. @param asked what was asked for, in the mirror's directory. */
function refuseElsewhere(mirror: MirrorUrl, asked: URL, { status, headers }: Answer): void {
  const { location } = headers;
  if (status < 300 || status > 399 || typeof location !== 'string') return;
  const there = new URL(location, asked);
  const [, name = ''] = /([^/]+)$/.exec(asked.pathname) ?? [];
  const place = placeOf({ ...mirror, base: new URL('.', there) });
  throw new MirrorlatchError('UNAVAILABLE', `${mirror.given} leads to ${there.href} instead`, {
    // Otherwise, it is a page to log in, or a snapshot that was asked for as a name.
    hint: there.pathname.endsWith(`/${name}`)
      ? `Name the mirror where it is, and let the clients read it there: ${place.href}`
      : wholeMirror(mirror),
  });
}

/** The way out for a URL where no mirror is. */
function wholeMirror({ base, channel }: MirrorUrl): string {
  const at = base.pathname.search(/\/snapshots\//);
  if (at !== -1) {
    const mirror = new URL(`${base.pathname.slice(0, at)}/current/`, base);
    return `The URL leads to snapshots of a mirror. Name the mirror itself: ${mirror.href}`;
  }
  if (channel !== undefined)
    return `Name a channel that the mirror has, or what is current: ${new URL('current/', base).href}. The URL has to lead to the whole mirror.`;
  return 'The URL has to lead to the whole mirror, with its current.json and snapshots/. `mirrorlatch serve` serves that, and any web server over ROOT.';
}

/** A directory below the file that names it. */
function isBelow(path: unknown): path is string {
  return (
    typeof path === 'string' &&
    /^[^/:?#\\][^:?#\\]*\/$/.test(path) &&
    !path.split('/').some((name) => /^(\.|%2e){1,2}$/i.test(name))
  );
}

function isName(id: string): boolean {
  return /^[^/?#\\%]+$/.test(id) && id !== '.' && id !== '..';
}

/** What was answered, on one line. @param url what was asked for, if that is worth saying. */
function said({ status, text }: Answer, proxy: UsedProxy | undefined, url?: URL): string {
  const { error, message } = fieldsOf(text);
  const words = [message, error, text].find(
    (one) => typeof one === 'string' && one.length < 200 && !one.includes('<'),
  );
  const by = proxy === undefined ? 'the server' : `the server, or the proxy ${proxy.url.origin},`;
  const to = url === undefined ? '' : ` to ${url.href}`;
  return `${by} answered ${status}${to}${words ? `, ${String(words).trim()}` : ''}`;
}
