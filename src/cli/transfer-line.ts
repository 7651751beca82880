import { showBytes } from '../mirror/units.ts';
import { showTimeLeft } from './units.ts';

/** How far a transfer is. Totals are 0 if they are not known. */
export interface TransferState {
  bytes: number;
  totalBytes: number;
  files: number;
  totalFiles: number;
  /** Bytes a second. */
  rate: number;
  /** For how long nothing has come; ms. */
  idleMs: number;
}

/** From then on the line says that nothing comes; ms. */
const STALLED_MS = 5_000;

const SEPARATOR = ' | ';
/**
 * Describes a transfer on one line that fits: if there is no room, the least important parts are left
 * out. Pure.
 *
 * @param room the width for the line; terminal columns.
 */
export function transferLine(state: TransferState, room: number): string {
  let parts = partsOf(state);
  while (parts.length > 1 && join(parts).length > room) {
    const least = Math.max(...parts.map(({ rank }) => rank));
    parts = parts.filter(({ rank }) => rank !== least);
  }
  const text = join(parts);
  const { bytes, totalBytes } = state;
  const width = barWidth(room);
  if (totalBytes === 0 || width === 0 || width + 1 + text.length > room) return text.slice(0, room);
  const done = Math.floor(width * Math.min(1, bytes / totalBytes));
  return `${'█'.repeat(done)}${'░'.repeat(width - done)} ${text}`;
}

/** It depends on the room alone, so that the bar does not jump with each figure beside it. */
function barWidth(room: number): number {
  return room < 60 ? 0 : Math.min(40, Math.floor((room - 40) / 4));
}

/** A part of the line; the part with the lowest rank is the last to be left out. */
interface Part {
  rank: number;
  text: string;
}

function join(parts: readonly Part[]): string {
  return parts.map(({ text }) => text).join(SEPARATOR);
}

/** The parts in the order in which they are shown. */
function partsOf(state: TransferState): Part[] {
  const { bytes, totalBytes, files, totalFiles, rate, idleMs } = state;
  const parts: Part[] = [];
  if (totalBytes > 0) {
    const percent = Math.floor(Math.min(1, bytes / totalBytes) * 100);
    parts.push({ rank: 1, text: `${percent} %` });
  }
  const isWithin = bytes <= totalBytes;
  parts.push({
    rank: 3,
    text: showBytes(bytes) + (isWithin ? ` of ${showBytes(totalBytes)}` : ''),
  });
  if (totalFiles > 0) parts.push({ rank: 5, text: `${files}/${totalFiles} files` });
  parts.push({ rank: 4, text: `${showBytes(rate)}/s` });
  if (idleMs >= STALLED_MS) {
    parts.push({ rank: 2, text: `no data for ${showTimeLeft(idleMs)}` });
  } else if (isWithin && rate > 0) {
    const leftMs = ((totalBytes - bytes) / rate) * 1000;
    parts.push({ rank: 2, text: `${showTimeLeft(leftMs)} left` });
  }
  return parts;
}

/** The rate is that of the last seconds; ms. */
const WINDOW_MS = 10_000;

/** Reports come by the thousand a second; so many suffice for the rate. */
const SAMPLE_MS = 250;

interface Sample {
  /** ms */
  at: number;
  bytes: number;
}

/** Measures a transfer by its reports; all times are in ms, of one clock. */
export class TransferMeter {
  /** The first one is the oldest; the last one is the latest report. */
  #samples: Sample[];

  constructor(at: number) {
    this.#samples = [{ at, bytes: 0 }];
  }

  report(bytes: number, at: number): void {
    const last = this.#samples.at(-1);
    // Another run of rsync counts from 0 again.
    if (last !== undefined && bytes < last.bytes) this.#samples = [{ at: last.at, bytes: 0 }];
    const before = this.#samples.at(-2);
    if (before !== undefined && at - before.at < SAMPLE_MS) this.#samples.pop();
    this.#samples.push({ at, bytes });
  }

  /** Bytes a second over the last seconds. */
  rate(now: number): number {
    while ((this.#samples[1]?.at ?? now) < now - WINDOW_MS) this.#samples.shift();
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (first === undefined || last === undefined) return 0;
    // The first report may come at once, with a whole buffer.
    return ((last.bytes - first.bytes) * 1000) / Math.max(1000, now - first.at);
  }

  /** How long ago the latest report was; ms. */
  idleMs(now: number): number {
    return now - (this.#samples.at(-1)?.at ?? now);
  }
}
