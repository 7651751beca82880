import { readdirSync } from 'node:fs';
import { Counter, Gauge, Registry } from 'prom-client';
import { isStale, type MirrorState, stateOf } from './mirror-state.ts';
import type { RequestCounts } from './request-counts.ts';
import type { MirrorReport, StatusReport } from './status-report.ts';

/** What of a report becomes a number of one mirror; undefined if it is unknown. */
interface Figure {
  name: string;
  help: string;
  of(mirror: MirrorReport, report: StatusReport): number | undefined;
}

const FIGURES: readonly Figure[] = [
  {
    name: 'up',
    help: 'Whether clients get a whole tree, 1, or not, 0: nothing is published, its gate is closed, or it cannot be read.',
    of: (mirror, report) =>
      ['unreadable', 'empty', 'dirty', 'closed'].includes(stateOf(mirror, report)) ? 0 : 1,
  },
  {
    name: 'stale',
    help: 'Whether the last success is older than the limit, 1, or not, 0.',
    of: (mirror, report) =>
      report.maxAgeMs === null ? undefined : ifKept(mirror, Number(isStale(mirror, report))),
  },
  {
    name: 'needs_attention',
    help: 'Whether a person has to look at it, 1, or not, 0: clients get no whole tree, it is stale, its last sync failed, verify found damage, or a crash left something.',
    of: (mirror, report) => Number(ALARMING.has(stateOf(mirror, report))),
  },
  {
    name: 'last_success_timestamp_seconds',
    help: 'When a sync, or a command of lock, last succeeded, with or without changes; Unix time.',
    of: ({ lastSuccessAt }) => unixTime(lastSuccessAt),
  },
  {
    name: 'last_publication_timestamp_seconds',
    help: 'When current came to name what it names; Unix time.',
    of: ({ current }) => unixTime(current?.since ?? null),
  },
  {
    name: 'last_full_look_timestamp_seconds',
    help: 'When the last look at all of the source of what is current began; Unix time.',
    of: ({ lastFullLookAt }) => unixTime(lastFullLookAt),
  },
  {
    name: 'last_sync_failed',
    help: 'Whether the last sync failed, 1, or not, 0.',
    of: ({ lastOutcome }) =>
      lastOutcome === null ? undefined : Number(lastOutcome.event === 'failed'),
  },
  {
    name: 'consecutive_failures',
    help: 'Failed syncs since the last success.',
    of: ({ failures, lastOutcome }) => (lastOutcome === null ? undefined : failures),
  },
  {
    name: 'last_sync_duration_seconds',
    help: 'How long the last sync that succeeded took.',
    of: ({ outcomes }) =>
      outcomes.findLast(({ event }) => event !== 'failed')?.seconds ?? undefined,
  },
  {
    name: 'last_sync_fetched_bytes',
    help: 'What came from the source in the last sync that succeeded.',
    of: ({ outcomes }) =>
      outcomes.findLast(({ event }) => event !== 'failed')?.newBytes ?? undefined,
  },
  {
    name: 'sync_running',
    help: 'Whether a writer is at work, 1, or not, 0.',
    of: (mirror) => ifKept(mirror, Number(mirror.work?.state === 'running')),
  },
  {
    name: 'sync_progress_ratio',
    help: 'The share that is done of what the writer is doing, 0 to 1.',
    of: ({ work }) => work?.done ?? undefined,
  },
  {
    name: 'held',
    help: 'Whether a person keeps it at one snapshot, 1, or not, 0.',
    of: (mirror) => ifKept(mirror, Number(mirror.hold !== null)),
  },
  {
    name: 'snapshots',
    help: 'Snapshots that are kept.',
    of: (mirror) =>
      mirror.kind === 'snapshots' ? ifKept(mirror, mirror.snapshots.length) : undefined,
  },
  {
    name: 'current_files',
    help: 'Regular files of what is current.',
    of: ({ current }) => current?.files ?? undefined,
  },
  {
    name: 'current_bytes',
    help: 'Bytes in the regular files of what is current.',
    of: ({ current }) => current?.bytes ?? undefined,
  },
  {
    name: 'current_left_out_files',
    help: 'What the source has and what is current lacks.',
    of: (mirror) =>
      ifKept(
        mirror,
        (mirror.current?.leftOut ?? []).reduce((sum, { count }) => sum + count, 0),
      ),
  },
  {
    name: 'damaged_history_lines',
    help: 'Lines of history that cannot be read.',
    of: (mirror) => ifKept(mirror, mirror.damagedHistoryLines),
  },
  {
    name: 'current_damaged_entries',
    help: 'Entries of what is current in which verify found damage when it looked last.',
    of: ({ current }) => current?.damaged ?? undefined,
  },
  {
    name: 'leases',
    help: 'Locks on the leases of all snapshots, those of this server included.',
    of: ({ leases }) => leases ?? undefined,
  },
];

/** What a server alone knows. */
const OLDEST_PIN: Figure = {
  name: 'oldest_pin_age_seconds',
  help: 'How long ago the oldest run of a client began that has not ended.',
  of: ({ pins }) => pins?.oldestSeconds ?? undefined,
};

const ALARMING: ReadonlySet<MirrorState> = new Set([
  'unreadable',
  'empty',
  'dirty',
  'closed',
  'stale',
  'damaged',
  'failed',
  'attention',
]);

/** Of a mirror that another program keeps, or that cannot be read, most is unknown. */
function ifKept({ kind, unreadable }: MirrorReport, value: number): number | undefined {
  return kind === 'foreign' || unreadable !== null ? undefined : value;
}

function unixTime(time: string | null): number | undefined {
  return time === null ? undefined : Date.parse(time) / 1000;
}

/** The metrics of one server, in the text format of Prometheus. */
export class Metrics {
  readonly #registry = new Registry();

  /** @param report is asked for whenever the metrics are. */
  constructor(report: () => StatusReport, requests: RequestCounts) {
    const registers = [this.#registry];
    watchMirrors(() => [report()], registers, [...FIGURES, OLDEST_PIN]);
    watchPins(report, registers);
    watchRequests(requests, registers);
    watchProcess(registers);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }
}

/** The metrics of mirrors alone, where no server asks for them, in the same format. */
export function mirrorMetrics(reports: readonly StatusReport[]): Promise<string> {
  const registry = new Registry();
  watchMirrors(() => reports, [registry], FIGURES);
  return registry.metrics();
}

function watchMirrors(
  reports: () => readonly StatusReport[],
  registers: Registry[],
  figures: readonly Figure[],
): void {
  for (const { name, help, of } of figures) {
    new Gauge({
      name: `mirrorlatch_mirror_${name}`,
      help,
      labelNames: ['mirror'],
      registers,
      collect() {
        const now = reports();
        this.reset();
        for (const report of now) {
          for (const mirror of report.mirrors) {
            const value = of(mirror, report);
            if (value !== undefined) this.set({ mirror: mirror.name }, value);
          }
        }
      },
    });
  }
}

function watchPins(report: () => StatusReport, registers: Registry[]): void {
  new Gauge({
    name: 'mirrorlatch_mirror_pins',
    help: 'What sees one snapshot by HTTP, by kind: client, a run of a client that has not ended, or strict, a pin that was asked for by POST.',
    labelNames: ['mirror', 'kind'],
    registers,
    collect() {
      const { mirrors } = report();
      this.reset();
      for (const { name, pins } of mirrors) {
        if (pins === null) continue;
        this.set({ mirror: name, kind: 'client' }, pins.pins);
        this.set({ mirror: name, kind: 'strict' }, pins.strictPins);
      }
    },
  });
}

function watchRequests(requests: RequestCounts, registers: Registry[]): void {
  const watch = (name: string, help: string, figure: 'requests' | 'bytes') =>
    new Counter({
      name: `mirrorlatch_http_${name}_total`,
      help,
      labelNames: ['code'],
      registers,
      collect() {
        this.reset();
        for (const [code, count] of requests.all()) this.inc({ code }, count[figure]);
      },
    });
  watch(
    'requests',
    'Answers to requests, by the class of their status: 2xx, 3xx, 4xx, 5xx.',
    'requests',
  );
  watch(
    'response_body_bytes',
    'Bytes of bodies that were sent, by the class of the status.',
    'bytes',
  );
}

/**
 * What every exporter says of its own process, by the names that all of them use
 * (https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics). prom-client's own set also
 * observes each garbage collection.
 */
function watchProcess(registers: Registry[]): void {
  const watch = (name: string, help: string, value: () => number) =>
    new Gauge({
      name: `process_${name}`,
      help,
      registers,
      collect() {
        this.set(value());
      },
    });
  watch('resident_memory_bytes', 'Resident memory of this server.', () =>
    process.memoryUsage.rss(),
  );
  watch(
    'open_fds',
    'Open file descriptors of this server.',
    () => readdirSync('/proc/self/fd').length,
  );
  const startedAt = Date.now() / 1000 - process.uptime();
  watch('start_time_seconds', 'When this server started; Unix time.', () => startedAt);
  new Counter({
    name: 'process_cpu_seconds_total',
    help: 'User and system CPU time that this server has taken.',
    registers,
    collect() {
      const { user, system } = process.cpuUsage();
      this.reset();
      this.inc((user + system) / 1e6);
    },
  });
}
