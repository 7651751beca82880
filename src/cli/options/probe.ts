import { Option } from 'commander';
import { showDuration } from '../../config/values.ts';
import { DEFAULT_PROBE, type Given, type ProbePolicy } from '../../mirror/settings/policy.ts';
import { duration, nameAtTop, pathsWithin } from '../values.ts';
import type { OptionGroup } from './group.ts';

export interface ProbeFlags {
  /** False for --no-probe. */
  probe?: string[] | boolean;
  /** ms */
  probeMaxAge?: number;
  /** False for --no-busy-when. */
  busyWhen?: string[] | boolean;
  /** False for --no-file-list. */
  fileList?: string | boolean;
}

/** What a sync looks at before it looks at everything, for people; empty for nothing. */
export function describeProbe(probe: ProbePolicy): string[] {
  const { paths, maxAgeMs, busyWhen, fileList } = probe;
  return [
    ...(fileList === ''
      ? []
      : [
          `it looks only at what has changed in the source's list of files (${fileList}), for at most ${showDuration(maxAgeMs)}`,
        ]),
    ...(paths.length > 0
      ? [
          `it looks no further while its stamps are the same (${paths.join(', ')}), for at most ${showDuration(maxAgeMs)}`,
        ]
      : []),
    ...(busyWhen.length > 0 ? [`it waits while the source has ${busyWhen.join(' or ')}`] : []),
  ];
}

/** What a sync looks at before it looks at everything. */
export const PROBE: OptionGroup<ProbeFlags, Given<ProbePolicy>> = {
  options: [
    new Option(
      '--probe <path>',
      'a stamp: look no further while this file of the source is the same; auto: well-known ones; repeatable',
    ).argParser(pathsWithin),
    new Option('--no-probe', 'look at everything, whatever the mirror remembers'),
    new Option(
      '--file-list <name>',
      "look only at what has changed in the source's own list of its files; auto: fullfiletimelist-*",
    ).argParser(nameAtTop),
    new Option('--no-file-list', 'heed no list, whatever the mirror remembers'),
    new Option(
      '--probe-max-age <duration>',
      `look at everything at least this often (default: ${showDuration(DEFAULT_PROBE.maxAgeMs)})`,
    ).argParser(duration),
    new Option(
      '--busy-when <path>',
      'wait while the source has this entry, because it is being updated; repeatable',
    ).argParser(pathsWithin),
    new Option('--no-busy-when', 'wait for no entry that the mirror remembers'),
  ],
  read: ({ probe, probeMaxAge, busyWhen, fileList }) => ({
    paths: pathsOf(probe),
    maxAgeMs: probeMaxAge,
    busyWhen: pathsOf(busyWhen),
    fileList: fileList === false ? '' : typeof fileList === 'string' ? fileList : undefined,
  }),
};

/** None for the negated flag; undefined if neither was given. */
function pathsOf(flag: string[] | boolean | undefined): string[] | undefined {
  return flag === false ? [] : Array.isArray(flag) ? flag : undefined;
}
