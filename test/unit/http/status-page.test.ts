import fc from 'fast-check';
import { expect, test } from 'vitest';
import { statusPage } from '../../../src/http/status/status-page.ts';
import type { MirrorReport } from '../../../src/http/status/status-report.ts';
import {
  awkwardMirrors,
  before,
  failedOutcome,
  HOUR,
  sampleMirror,
  sampleReport,
} from '../../support/http/sample-report.ts';

/** The words of a page, as a person reads them. */
function wordsOf(page: string): string {
  const [, body = ''] = page.split('<body');
  return body.replaceAll(/<[^>]*>/g, ' ').replaceAll(/\s+/g, ' ');
}

test('it says of a fresh mirror all that its readers want to know', () => {
  const words = wordsOf(statusPage(sampleReport([sampleMirror()])));
  for (const said of [
    'All is well',
    'Fresh is what was synced in the last 26 hours',
    'Last successful sync 12 minutes ago : nothing new.',
    '1,204,511 files, 2.31 TB',
    '3 snapshots, the oldest published 30 hours ago',
    '4 leases held on 2 snapshots, besides those by HTTP',
    '221 clients in a run (the oldest run began 23 minutes ago), 5 strict pins; 12 of them on earlier snapshots',
    '4 publications: 12,803 new or changed, 1,022 deleted, 41.2 GB fetched',
    'doc/link, project/away: symlinks that lead out of the tree',
    'The last 30 syncs, since 7 days ago',
    'the longest took 7 min 24 s',
    '2 syncs failed',
    '36 min ago 3,201 0 10.3 GB',
  ])
    expect(words).toContain(said);
});

test('it says what is wrong, the worst mirror first', () => {
  const page = statusPage(sampleReport([sampleMirror(), ...Object.values(awkwardMirrors())]));
  const words = wordsOf(page);
  for (const said of [
    '5 of 9 mirrors need attention',
    'What clients get may be out of date: the last successful sync was 31 hours ago, and the limit of 26 hours is over.',
    'The last sync failed 9 hours ago , the 4th time in a row: the source has lost',
    'nothing was published. Its log: /srv/mirror/stale/.mirrorlatch/logs/20261127T020000Z.log',
    'sync by mirror on mirror1 (pid 4711) , for 24 minutes: transferring 43 %',
    'Nothing has been published yet.',
    'The tree has been closed by hand since 2026-11-27T10:45:03Z: a new disk.',
    'When that last looked at its source is not known.',
    '3 lines of its history cannot be read.',
    'Held by root since 2026-11-27 10:45 UTC: bad release. Nothing new is published until it is released.',
  ])
    expect(words).toContain(said);
  const order = [...page.matchAll(/<h2[^>]*>([^<]*)/g)].map(([, name]) => name);
  expect(order.slice(0, 3).sort()).toEqual(['closed', 'empty', 'stale']);
  expect(order.at(-1)).toBe('syncing');
});

test('it says which snapshots verify has found damaged, and which of them is current', () => {
  const { current } = sampleMirror();
  const id = current?.id ?? '';
  const wordsFor = (entries: number, kind: MirrorReport['kind'] = 'snapshots') => {
    const damaged = [
      { id, entries },
      ...(kind === 'in-place' ? [] : [{ id: 'older', entries: 1 }]),
    ];
    const shown = { ...current, damaged: entries } as MirrorReport['current'];
    return wordsOf(statusPage(sampleReport([sampleMirror({ kind, damaged, current: shown })])));
  };
  const words = wordsFor(1200);
  expect(words).toContain('The mirror needs attention');
  expect(words).toContain('✕ Damaged');
  expect(words).toContain(
    `Damage was found by verify: in ${id}, which is current, 1,200 entries are not what was published.`,
  );
  expect(words).toContain('in older, 1 entry is not what was published.');
  expect(wordsFor(1, 'in-place')).toContain('in the tree, 1 entry is not what was published.');
});

test('its table says of a mirror that was never synced that it was not, and of a foreign one nothing', () => {
  const { empty, foreign } = awkwardMirrors();
  const words = wordsOf(statusPage(sampleReport([sampleMirror(), empty, foreign])));
  expect(words).toMatch(/debian ✓ Fresh 12 min ago/);
  expect(words).toMatch(/empty ✕ Empty never/);
  expect(words).toMatch(/foreign i Served \?/);
  const alone = wordsOf(statusPage(sampleReport([foreign])));
  expect(alone).toContain('All is well, as far as is known');
});

test('it is asked for again soon while a sync runs, and else each minute', () => {
  const { syncing } = awkwardMirrors();
  const refresh = (page: string) => /http-equiv="refresh" content="(\d+)"/.exec(page)?.[1];
  expect(refresh(statusPage(sampleReport([sampleMirror()])))).toBe('60');
  expect(refresh(statusPage(sampleReport([sampleMirror(), syncing])))).toBe('5');
});

test('it says of what it cannot see that it cannot', () => {
  const words = (unseen: string[]) => wordsOf(statusPage(sampleReport([sampleMirror({ unseen })])));
  expect(words(['/srv/mirror/debian/.mirrorlatch/staging'])).toContain('only their owner');
  expect(words([])).not.toContain('only their owner');
});

test('with twenty mirrors it is smaller than 60 KB', () => {
  const twenty = Array.from({ length: 20 }, (_, at) => sampleMirror({ name: `mirror-${at}` }));
  expect(Buffer.byteLength(statusPage(sampleReport(twenty)))).toBeLessThan(60_000);
});

test('no text that comes from a mirror or its clients becomes markup', () => {
  const tags = (page: string) =>
    page.match(/<[^>]*>/g)?.map((tag) => tag.replaceAll(/"[^"]*"/g, ''));
  const withText = (text: string) =>
    statusPage(
      sampleReport(
        [
          sampleMirror({
            name: text,
            prefix: `/${text}/`,
            source: text,
            current: {
              id: text,
              since: before(HOUR),
              publishedAt: before(HOUR),
              files: 1,
              bytes: 1,
              leftOut: [{ why: text, count: 2, names: [text] }],
              writableByAll: { count: 1, names: [text] },
              damaged: null,
            },
            work: {
              state: 'running',
              command: text,
              user: text,
              host: text,
              pid: 1,
              since: before(HOUR),
              phase: text,
              done: 0.5,
            },
            hold: { reason: text, by: text, since: before(HOUR) },
            lastOutcome: failedOutcome({ message: text }),
            changes: [
              {
                event: 'rolled-back',
                id: text,
                at: before(HOUR),
                newFiles: null,
                newBytes: null,
                deletedFiles: null,
                deletedShare: null,
              },
            ],
            left: [text],
            unseen: [text],
            failureLog: text,
          }),
          sampleMirror({ name: text, unreadable: text }),
        ],
        { host: text },
      ),
    );
  const expected = tags(withText('text'));
  for (const text of ['<script>alert(1)</script>', `" onload='x`, '</style><b>', '\ud800', '%2e%'])
    expect(tags(withText(text)), text).toEqual(expected);
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'<>"\'&;/= abc-') }), (text) => {
      expect(tags(withText(`x${text}`))).toEqual(expected);
    }),
  );
});
