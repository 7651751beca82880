import { MirrorlatchError } from '../errors.ts';
import {
  followWords,
  ownWords,
  type ProgramPlace,
  type ScheduledMirror,
  searchPath,
  syncWords,
} from './scheduled.ts';

/** A file of systemd.unit(5). */
export interface Unit {
  /** `mirrorlatch-sync@debian.timer` */
  readonly name: string;
  readonly text: string;
  /** Is to be started, now and at each boot; the others are started by one that is. */
  readonly isEnabled: boolean;
}

/**
 * The units that keep a mirror: a timer and its service, or a service that follows another mirror; and those
 * that tell people when it is stale, and send its mail. They are instances of the names that the packages use, so that each
 * overrides the template there.
 */
export function unitsFor(mirror: ScheduledMirror, place: ProgramPlace): Unit[] {
  const { name, schedule, after, isWatched, mails } = mirror;
  const keeping =
    after !== undefined
      ? [
          {
            name: `${followUnit(name)}.service`,
            text: followService(mirror, after, place),
            isEnabled: true,
          },
        ]
      : schedule === 'never'
        ? []
        : timed(syncUnit(name), syncService(mirror, place), syncTimer(mirror));
  const telling =
    isWatched || mails
      ? timed(`mirrorlatch-notify@${name}`, notifyService(mirror, place), notifyTimer(mirror))
      : [];
  return [...keeping, ...telling];
}

/** The name of its timer and its service, without their types. */
export function syncUnit(name: string): string {
  return `mirrorlatch-sync@${name}`;
}

/** That of the service which follows another mirror. */
export function followUnit(name: string): string {
  return `mirrorlatch-follow@${name}`;
}

function timed(stem: string, service: string, timer: string): Unit[] {
  return [
    { name: `${stem}.service`, text: service, isEnabled: false },
    { name: `${stem}.timer`, text: timer, isEnabled: true },
  ];
}

function notifyTimer({ name }: ScheduledMirror): string {
  return timer(`Look whether people want to know of the mirror ${name}`, 'OnCalendar=*:0/15');
}

/** It has no sandbox: a mail server has its own user and spool, to which sendmail(8) goes by set-user-ID. */
function notifyService(mirror: ScheduledMirror, place: ProgramPlace): string {
  return lines(
    ...unitSection(
      mirror,
      place,
      `Tell people what they want to know of the mirror ${mirror.name}`,
    ),
    '[Service]',
    'Type=oneshot',
    `ExecStart=${commandLine(ownWords(place, 'notify', mirror.name))}`,
    '# A mail server delivers in the background.',
    'KillMode=process',
    `Environment=${inQuotes(`PATH=${searchPath(place)}`)}`,
    `User=${mirror.user}`,
  );
}

function syncTimer({ name, schedule }: ScheduledMirror): string {
  return timer(
    `Sync the mirror ${name} (${escaped(schedule)})`,
    `OnCalendar=${escaped(schedule)}`,
    '# All mirrors of one upstream would ask it at the same second.',
    'RandomizedDelaySec=10m',
    'Persistent=true',
  );
}

function timer(description: string, ...when: readonly string[]): string {
  const install = ['[Install]', 'WantedBy=timers.target'];
  return lines('[Unit]', `Description=${description}`, '', '[Timer]', ...when, '', ...install);
}

function syncService(mirror: ScheduledMirror, place: ProgramPlace): string {
  return lines(
    ...unitSection(mirror, place, `Sync the mirror ${mirror.name}`, ...mailLater(mirror)),
    '[Service]',
    'Type=oneshot',
    `ExecStart=${commandLine(syncWords(place, mirror, ...withoutMail(mirror)))}`,
    ...sandbox(mirror, place),
    'TimeoutStopSec=2m',
  );
}

function followService(mirror: ScheduledMirror, after: string, place: ProgramPlace): string {
  return lines(
    ...unitSection(
      mirror,
      place,
      `Sync the mirror ${mirror.name} after each publication of ${after}`,
    ),
    '[Service]',
    `ExecStart=${commandLine(followWords(place, mirror, after, ...withoutMail(mirror)))}`,
    '# So ends a watch that systemd stops.',
    'SuccessExitStatus=143',
    'Restart=on-failure',
    'RestartSec=1m',
    ...sandbox(mirror, place),
    '',
    '[Install]',
    'WantedBy=multi-user.target',
  );
}

/** What a sync in its sandbox leaves to the other service, which looks every quarter of an hour anyway. */
function withoutMail({ mails }: ScheduledMirror): string[] {
  return mails ? ['--no-mail'] : [];
}

/** Where one sync is one run of a service, people need not wait for that look. */
function mailLater({ name, mails }: ScheduledMirror): string[] {
  const service = `mirrorlatch-notify@${name}.service`;
  return mails
    ? [
        '# No sendmail works in the sandbox of this service.',
        `OnSuccess=${service}`,
        `OnFailure=${service}`,
      ]
    : [];
}

function unitSection(
  { root }: ScheduledMirror,
  { program }: ProgramPlace,
  description: string,
  ...more: readonly string[]
): string[] {
  return [
    '[Unit]',
    `Description=${description}`,
    'Documentation=man:mirrorlatch(1) man:mirrorlatch-scheduling(7)',
    'Wants=network-online.target',
    'After=network-online.target',
    '# Without its disk, a mirror is not there.',
    `RequiresMountsFor=${path(root)}`,
    '# Once the program is removed, this rests.',
    `ConditionFileIsExecutable=${escaped(program)}`,
    ...more,
    '',
  ];
}

/** What a sync does without: see systemd.exec(5). */
function sandbox(
  { name, root, writes, user, isFilled, tellsManager }: ScheduledMirror,
  place: ProgramPlace,
): string[] {
  const isRoot = user === 'root';
  return [
    '# What a killed sync has left is repaired at once, and not by the next one alone.',
    `ExecStopPost=-${commandLine(ownWords(place, 'unlock', name, '--quiet'))}`,
    // systemd-notify(1) is a process of its own.
    ...(tellsManager ? ['NotifyAccess=all'] : []),
    `Environment=${inQuotes(`PATH=${searchPath(place)}`)}`,
    `User=${user}`,
    '# rsync is asked to end, and has time to.',
    'KillMode=mixed',
    'UMask=0022',
    'Nice=10',
    'IOSchedulingClass=best-effort',
    'IOSchedulingPriority=7',
    'NoNewPrivileges=yes',
    ...(isFilled
      ? ['# The command that fills it may keep files of its own.', 'ProtectSystem=full']
      : [
          'ProtectSystem=strict',
          `ReadWritePaths=${[root, ...writes].map(path).join(' ')}`,
          '# A source, and the keys of ssh, may be below /home.',
          'ProtectHome=read-only',
        ]),
    'PrivateTmp=yes',
    'PrivateDevices=yes',
    'ProtectClock=yes',
    'ProtectHostname=yes',
    'ProtectControlGroups=yes',
    'ProtectKernelLogs=yes',
    'ProtectKernelModules=yes',
    'ProtectKernelTunables=yes',
    'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK',
    'RestrictNamespaces=yes',
    'RestrictRealtime=yes',
    'LockPersonality=yes',
    'SystemCallArchitectures=native',
    // Root keeps the rights by which rsync gives files their owners.
    ...(isRoot ? [] : ['CapabilityBoundingSet=']),
  ];
}

/** By systemd.service(5), Command lines: there alone `$` begins a variable. */
function commandLine(words: readonly string[]): string {
  return words.map((word) => inQuotes(word).replaceAll('$', '$$$$')).join(' ');
}

/**
 * A path for the keys that know no C-style escapes, in which nothing stands for a line break.
 *
 * @throws MirrorlatchError CONFIGURATION for a path that has one.
 */
function path(name: string): string {
  if (!name.includes('\n')) return inQuotes(name);
  throw new MirrorlatchError(
    'CONFIGURATION',
    `no unit of systemd can name ${JSON.stringify(name)}`,
    {
      hint: 'Its name has a line break. Rename the directory, or sync the mirror by cron: mirrorlatch help scheduling',
    },
  );
}

/** By systemd.syntax(7), Quoting. */
function inQuotes(word: string): string {
  const safe = escaped(word);
  if (/^[A-Za-z0-9_/.:@+=,%$-]+$/.test(safe)) return safe;
  const text = safe.replaceAll(/[\\"]/g, String.raw`\$&`).replaceAll('\n', String.raw`\n`);
  return `"${text}"`;
}

/** `%` begins a specifier. */
function escaped(text: string): string {
  return text.replaceAll('%', '%%');
}

function lines(...all: readonly string[]): string {
  return `${all.join('\n')}\n`;
}
