import { join } from 'node:path';
import { asMirrorlatchError } from '../../errors.ts';
import { thisHost } from '../../system/host.ts';
import type { Hold } from '../pins/holds.ts';
import { addedText, type PinRecords, parseRecords, recordsText } from '../pins/pin-records.ts';
import type { Pins } from '../pins/pins.ts';
import { lostSnapshot, type ServedMirror } from '../pins/served-mirror.ts';
import type { StrictPins } from '../pins/strict-pins.ts';
import { readStateFile, StateFile } from './state-file.ts';

export interface KeptPinsOptions {
  readonly pins: ReadonlyMap<ServedMirror, Pins>;
  /** Of clients that read what was current at a time. */
  readonly timedPins: ReadonlyMap<ServedMirror, Pins>;
  readonly strictPins: StrictPins;
  /** The clock of them all; ms since the boot. */
  readonly clock: () => number;
  readonly onWarning: (message: string) => void;
}

/**
 * Takes up the pins that a server before has written into `directory`, and writes down those of this one.
 *
 * @returns where they are written, to be closed at the end.
 */
export async function keepPins(directory: string, options: KeptPinsOptions): Promise<StateFile> {
  const { strictPins, clock, onWarning } = options;
  const path = join(directory, 'pins.jsonl');
  try {
    await recallPins(path, options);
  } catch (error) {
    const { message } = asMirrorlatchError(error, 'they cannot be read');
    onWarning(`the runs before the start are forgotten: ${message}`);
  }
  const { bootId } = thisHost();
  const all = allPins(options);
  const state = await StateFile.open({
    path,
    changes: () => all.reduce((sum, { pins }) => sum + pins.changes, strictPins.changes),
    text: (isEnded) =>
      recordsText(
        { bootId, at: clock(), isEnded },
        all.map(({ name, mirror, pins, isTimed }) => [
          name,
          {
            identities: mirror.identities(),
            ...pins.records(),
            strictPins: isTimed ? [] : strictPins.records(mirror),
          },
        ]),
      ),
    onWarning,
  });
  for (const { name, mirror, pins } of all)
    pins.onBegin((run) => state.add(addedText(name, mirror.identities(), { run })));
  strictPins.onBegin((mirror, strictPin) =>
    state.add(addedText(nameOf(mirror), mirror.identities(), { strictPin })),
  );
  return state;
}

async function recallPins(path: string, options: KeptPinsOptions): Promise<void> {
  const { strictPins, clock, onWarning } = options;
  const text = await readStateFile(path);
  const records = text && parseRecords(text, thisHost().bootId, clock());
  if (!records) return;
  for (const { name, mirror, pins } of allPins(options)) {
    const ofBefore = records.get(name);
    if (ofBefore === undefined) continue;
    const hold = holdsOf(mirror, ofBefore.identities, onWarning);
    await pins.recall(ofBefore, hold, (id) => lostSnapshot(mirror, id));
    await strictPins.recall(mirror, ofBefore.strictPins, hold);
  }
}

function allPins({ pins, timedPins }: KeptPinsOptions) {
  return [pins, timedPins].flatMap((some) => {
    const isTimed = some === timedPins;
    return [...some].map(([mirror, ofMirror]) => {
      const name = `${nameOf(mirror)}${isTimed ? ' at a time' : ''}`;
      return { name, mirror, pins: ofMirror, isTimed };
    });
  });
}

/** Holds what is there. What is not, is asked for once, and a failure told once. */
function holdsOf(
  mirror: ServedMirror,
  identities: PinRecords['identities'],
  onWarning: (message: string) => void,
) {
  const missing = new Set<string>();
  return async (id: string): Promise<Hold | undefined> => {
    if (missing.has(id)) return undefined;
    try {
      const held = await mirror.recall(id, identities?.[id]);
      if (held === undefined) missing.add(id);
      return held;
    } catch (error) {
      missing.add(id);
      onWarning(asMirrorlatchError(error, `the runs in ${id} fail`).message);
      return undefined;
    }
  };
}

/** Under another URL, a mirror has other clients. */
function nameOf({ root, content }: ServedMirror): string {
  return `${root}=${content}`;
}
