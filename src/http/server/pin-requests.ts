import type { IncomingMessage } from 'node:http';
import { type Answer, json, RETRY_AFTER, text } from '../answers.ts';
import type { Hold } from '../pins/holds.ts';
import { holdChannel, type ServedMirror } from '../pins/served-mirror.ts';
import type { StrictPin, StrictPins } from '../pins/strict-pins.ts';
import { nearestSnapshot } from './apt-snapshots.ts';
import { readBody } from './request-body.ts';

/** `POST BASE/pins`. @param address of the client. */
export async function makePin(
  mirror: ServedMirror,
  request: IncomingMessage,
  address: string,
  strictPins: StrictPins,
): Promise<Answer> {
  if (mirror.kind === 'in-place') {
    return text(409, 'This mirror is written in place: it has no snapshots to pin.');
  }
  if (request.url?.includes('?')) {
    const way = 'What a pin is to be goes into the body, not into a query.';
    return text(400, `${way} ${EXAMPLE}`, { Connection: 'close' });
  }
  const wish = wishOf(await readBody(request), ['snapshot', 'channel', 'seconds']);
  if (typeof wish === 'string') return text(400, wish, { Connection: 'close' });
  if (!strictPins.hasRoomFor(address)) {
    return text(503, 'There are too many pins. Release some, or wait.', RETRY_AFTER);
  }
  const { channel } = wish;
  if (channel !== undefined && mirror.channelId(channel) === undefined)
    return noChannel(mirror, channel);
  const hold =
    channel === undefined
      ? await holdWished(mirror, wish.snapshot)
      : await holdChannel(mirror, channel);
  if (hold === undefined) return noSnapshot(mirror, wish.snapshot ?? 'current');
  const pin = strictPins.add(mirror, hold, address, wish.lastsMs);
  const shown = show(pin, strictPins);
  return json(201, shown, { Location: shown.url });
}

/** `GET`, `PUT` and `DELETE BASE/pins/TOKEN`. */
export async function changePin(
  mirror: ServedMirror,
  token: string,
  request: IncomingMessage,
  strictPins: StrictPins,
): Promise<Answer> {
  const isLonger = request.method === 'PUT';
  // First, because the pin may end until its client has sent it.
  const wish = isLonger ? wishOf(await readBody(request), ['seconds']) : {};
  if (typeof wish === 'string') return text(400, wish, { Connection: 'close' });
  const pin = strictPins.find(mirror, token);
  if (pin === undefined || pin === 'ended') return noPin(pin);
  if (request.method === 'DELETE') {
    strictPins.release(pin);
    return text(204, '');
  }
  if (isLonger) strictPins.renew(pin, wish.lastsMs);
  return json(200, show(pin, strictPins));
}

export function noPin(state: 'ended' | undefined): Answer {
  return state === 'ended'
    ? text(410, 'This pin has ended. Ask for another: POST to pins of the mirror.')
    : text(404, 'There is no such pin.');
}

function show(pin: StrictPin, strictPins: StrictPins) {
  const remainingMs = strictPins.remaining(pin);
  return {
    token: pin.token,
    id: pin.hold.id,
    url: `${pin.mirror.prefix}pins/${pin.token}/`,
    expiresAt: new Date(Date.now() + remainingMs).toISOString(),
    seconds: Math.round(remainingMs / 1000),
  };
}

interface Wish {
  snapshot?: string;
  channel?: string;
  lastsMs?: number;
}

const EXAMPLE = 'Send for example {"snapshot":"current","seconds":600}.';

/** What a client asks of a pin; a sentence if that is invalid. @param fields which it may name. */
function wishOf(body: string | undefined, fields: readonly (keyof Allowed)[]): Wish | string {
  if (body === undefined) return 'The body is too long.';
  if (body.trim() === '') return {};
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return `The body is not JSON. ${EXAMPLE}`;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return `The body is not a JSON object. ${EXAMPLE}`;
  }
  const unknown = Object.keys(value).find((name) => !fields.some((field) => field === name));
  if (unknown !== undefined) {
    const allowed = fields.map((name) => `"${name}", ${ALLOWED[name]}`).join('; ');
    return `The field ${brief(unknown)} is not allowed. These are: ${allowed}.`;
  }
  const { snapshot, channel, seconds } = value as Partial<Record<keyof Allowed, unknown>>;
  if (snapshot !== undefined && typeof snapshot !== 'string') return refused('snapshot', snapshot);
  if (channel !== undefined && typeof channel !== 'string') return refused('channel', channel);
  if (snapshot !== undefined && channel !== undefined)
    return 'A channel names one snapshot already: leave "snapshot" or "channel" out.';
  const isTime = typeof seconds === 'number' && seconds >= 1;
  if (seconds !== undefined && !isTime) return refused('seconds', seconds);
  return {
    ...(snapshot === undefined ? {} : { snapshot }),
    ...(channel === undefined ? {} : { channel }),
    ...(seconds === undefined ? {} : { lastsMs: seconds * 1000 }),
  };
}

interface Allowed {
  readonly snapshot: string;
  readonly channel: string;
  readonly seconds: string;
}

/** What each field may hold. */
const ALLOWED: Allowed = {
  snapshot: '"current", "previous" or the id of a snapshot',
  channel: 'the name of a channel',
  seconds: 'a number of at least 1',
};

function refused(field: keyof Allowed, value: unknown): string {
  return `"${field}" is ${brief(value)}, not ${ALLOWED[field]}.`;
}

/** What a client sent, not longer than a line. */
function brief(value: unknown): string {
  const shown = JSON.stringify(value);
  return shown.length > LONGEST_SHOWN ? `${shown.slice(0, LONGEST_SHOWN)}…` : shown;
}

const LONGEST_SHOWN = 60;

/** The channels that there are instead. */
function noChannel(mirror: ServedMirror, channel: string): Answer {
  const names = mirror.channels();
  const others = names.length === 0 ? 'The mirror has none' : `There is ${names.join(', ')}`;
  return text(404, `There is no channel ${brief(channel)}. ${others}.`);
}

/** What is there instead of a snapshot that a client wished for. */
function noSnapshot(mirror: ServedMirror, snapshot: string): Answer {
  const place = `${mirror.prefix}snapshots/`;
  if (snapshot === 'previous') {
    return text(404, `No snapshot was current before the one that is, or it is gone: see ${place}`);
  }
  if (mirror.isGone(snapshot)) {
    return text(410, `The snapshot ${brief(snapshot)} has been removed. See ${place}`);
  }
  const none = `There is no snapshot ${brief(snapshot)}.`;
  const nearest = nearestSnapshot(mirror.retained(), snapshot);
  return nearest === undefined
    ? text(404, `${none} Ask for ${ALLOWED.snapshot}: see ${place}`)
    : text(404, `${none} The last before that time is ${nearest}: ask for that.`);
}

async function holdWished(mirror: ServedMirror, snapshot = 'current'): Promise<Hold | undefined> {
  if (snapshot === 'current') return await mirror.holdCurrent();
  const id = snapshot === 'previous' ? mirror.previousId() : snapshot;
  return id === undefined ? undefined : await mirror.hold(id);
}
