import { MirrorlatchError } from '../../errors.ts';

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
}

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
