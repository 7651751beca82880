import { MirrorlatchError } from '../../errors.ts';
import { BASE_HEADER, CHANNEL_HEADER } from '../base-header.ts';

/** What a web server in front of `serve` has to know. */
export interface Front {
  readonly mirrors: readonly FrontedMirror[];
  /** Where `serve` listens: `unix:PATH` or `ADDRESS:PORT`. */
  readonly listen: string;
  /** How long a decision about a client may be kept, seconds. */
  readonly keepSeconds: number;
  /** How long a client is quiet between two of its runs, seconds. */
  readonly quietSeconds: number;
  /** The command line that starts `serve` for it, as a shell would split it. */
  readonly start: string;
}

/** A mirror as a web server in front sees it. */
export interface FrontedMirror {
  readonly name: string;
  /** Of its URLs, as a client decodes them; begins and ends with a slash. */
  readonly prefix: string;
  /** Where what is current begins; the same. */
  readonly content: string;
  /** Absolute: `current` is in it. */
  readonly root: string;
  /** Real: the directory below which all its trees lie. */
  readonly trees: string;
  /** Whether it has its snapshots, each by its id, and nothing else. */
  readonly hasSnapshots: boolean;
  /** The channels that it has now. */
  readonly channels: readonly string[];
}

/** Where clients read what is current, or a channel: mirrorlatch decides which snapshot that is. */
export interface DecidedPlace {
  /** What mirrorlatch calls it: the name of a mirror, or NAME/CHANNEL. */
  readonly name: string;
  /** Of its URLs, as a client decodes them; begins and ends with a slash. */
  readonly content: string;
  /** Absolute: the symlink that leads there while mirrorlatch is down. */
  readonly link: string;
  /** What `run --http` learns there, by the names of its headers. */
  readonly headers: Readonly<Record<string, string>>;
}

/** That of what is current comes first. */
export function decidedPlaces(mirror: FrontedMirror): readonly [DecidedPlace, ...DecidedPlace[]] {
  const { name, prefix, content, root, channels } = mirror;
  const current = {
    name,
    content,
    link: `${root}/current`,
    headers: content.startsWith(prefix) ? {} : { [BASE_HEADER]: prefix },
  };
  const ofChannels = channels.map((channel) => ({
    name: `${name}/${channel}`,
    content: `${prefix}${channel}/`,
    link: `${root}/${channel}`,
    headers: { [BASE_HEADER]: prefix, [CHANNEL_HEADER]: channel },
  }));
  return [current, ...ofChannels];
}

/** A comment: what is done with the channels that a configuration does not have. */
export const LATER_CHANNELS =
  '# About a channel that is made later, mirrorlatch is asked for each file, until this is printed again.';

/** Where mirrorlatch answers, but for what the web server sends below these places. */
export function ownPlaces(mirrors: readonly FrontedMirror[]): string[] {
  const outside = mirrors.map(({ prefix }) => prefix).filter((prefix) => !prefix.startsWith('/-/'));
  return ['/-/', ...outside];
}

/** Whether a mirror has the place `/`. */
export function isOneAtTop(mirrors: readonly FrontedMirror[]): boolean {
  return mirrors.some(({ prefix, content }) => prefix === '/' || content === '/');
}

/** Where to connect to a server that listens there, also if it listens on all addresses. */
export function connectableAddress(listen: string): string {
  return listen.replace(/^(?:0\.0\.0\.0|\*)?:(?=\d+$)/, '127.0.0.1:').replace(/^\[::\]:/, '[::1]:');
}

/** The address from which a web server on the same host connects to a server that listens there; none to a unix socket. */
export function trustedAddress(listen: string): string | undefined {
  if (listen.startsWith('unix:')) return undefined;
  return connectableAddress(listen)
    .replace(/:\d+$/, '')
    .replace(/^\[(.*)\]$/, '$1');
}

/**
 * A text between the double quotes of a configuration.
 *
 * @throws MirrorlatchError USAGE when it contains what the server would take for something else.
 */
export function quotedFor(server: string, refused: RegExp, text: string): string {
  if (refused.test(text)) {
    throw new MirrorlatchError('USAGE', `${server} cannot name ${JSON.stringify(text)}`, {
      hint: 'Serve the mirror under a plain path and prefix.',
    });
  }
  return `"${text}"`;
}
