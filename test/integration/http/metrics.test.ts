import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { Metrics } from '../../../src/http/status/metrics.ts';
import { RequestCounts } from '../../../src/http/status/request-counts.ts';
import type { MirrorReport, StatusReport } from '../../../src/http/status/status-report.ts';
import { blocks, topics } from '../../support/documents.ts';
import {
  awkwardMirrors,
  before,
  HOUR,
  sampleMirror,
  sampleReport,
} from '../../support/http/sample-report.ts';
import { whyNotInstalled } from '../../support/installed.ts';
import { scratchDirectory } from '../../support/scratch.ts';

const whyNot = whyNotInstalled('promtool');
const alerts = topics.flatMap((topic) => blocks(topic, 'yaml'));

function metricsOf(report: () => StatusReport, requests = new RequestCounts()): Promise<string> {
  return new Metrics(report, requests).text();
}

test('each mirror has its figures, and one that is unknown has none', async () => {
  const current = { ...sampleMirror().current, damaged: 2 } as MirrorReport['current'];
  const rotten = sampleMirror({ name: 'rotten', current });
  const report = sampleReport([sampleMirror(), rotten, ...Object.values(awkwardMirrors())]);
  const text = await metricsOf(() => report);
  for (const line of [
    `mirror_last_success_timestamp_seconds{mirror="debian"} ${Date.parse(before(0.2 * HOUR)) / 1000}`,
    `mirror_last_publication_timestamp_seconds{mirror="debian"} ${Date.parse(before(0.6 * HOUR)) / 1000}`,
    'mirror_snapshots{mirror="debian"} 3',
    'mirror_current_files{mirror="debian"} 1204511',
    'mirror_current_bytes{mirror="debian"} 2310000000000',
    'mirror_current_left_out_files{mirror="debian"} 2',
    'mirror_pins{mirror="debian",kind="client"} 221',
    'mirror_pins{mirror="debian",kind="strict"} 5',
    'mirror_oldest_pin_age_seconds{mirror="debian"} 1380',
    'mirror_sync_running{mirror="debian"} 0',
    'mirror_sync_running{mirror="syncing"} 1',
    'mirror_sync_progress_ratio{mirror="syncing"} 0.43',
    'mirror_last_sync_failed{mirror="debian"} 0',
    'mirror_last_sync_failed{mirror="stale"} 1',
    'mirror_consecutive_failures{mirror="stale"} 4',
    'mirror_held{mirror="held"} 1',
    'mirror_stale{mirror="stale"} 1',
    'mirror_stale{mirror="debian"} 0',
    'mirror_needs_attention{mirror="stale"} 1',
    'mirror_needs_attention{mirror="debian"} 0',
    'mirror_needs_attention{mirror="held"} 0',
    'mirror_current_damaged_entries{mirror="rotten"} 2',
    'mirror_needs_attention{mirror="rotten"} 1',
    'mirror_up{mirror="debian"} 1',
    'mirror_up{mirror="stale"} 1',
    'mirror_up{mirror="closed"} 0',
    'mirror_up{mirror="empty"} 0',
  ])
    expect(text).toContain(`\nmirrorlatch_${line}\n`);
  expect(text).not.toMatch(/last_success_timestamp_seconds\{mirror="(empty|foreign)"/);
  // It was never looked at.
  expect(text).not.toContain('current_damaged_entries{mirror="debian"}');
  expect(text).not.toMatch(/(sync_running|snapshots)\{mirror="foreign"/);
});

test('a mirror that is gone has no figures any more', async () => {
  let mirrors = [sampleMirror(), sampleMirror({ name: 'other' })];
  const metrics = new Metrics(() => sampleReport(mirrors), new RequestCounts());
  expect(await metrics.text()).toContain('mirror="other"');
  mirrors = mirrors.slice(0, 1);
  expect(await metrics.text()).not.toContain('mirror="other"');
});

test('answers are counted by the class of their status, each server for itself', async () => {
  const [one, other] = [new RequestCounts(), new RequestCounts()];
  one.count(200, 1000);
  one.count(206, 24);
  one.count(404, 9);
  const metrics = new Metrics(() => sampleReport([]), one);
  for (const _ of ['first', 'again']) {
    const text = await metrics.text();
    expect(text).toContain('mirrorlatch_http_requests_total{code="2xx"} 2\n');
    expect(text).toContain('mirrorlatch_http_response_body_bytes_total{code="2xx"} 1024\n');
    expect(text).toContain('mirrorlatch_http_requests_total{code="4xx"} 1\n');
  }
  expect(await metricsOf(() => sampleReport([]), other)).not.toContain('code="2xx"');
});

test('the process tells its memory, its descriptors and its CPU time', async () => {
  const text = await metricsOf(() => sampleReport([]));
  const value = (name: string) => Number(new RegExp(`^${name} (.*)$`, 'm').exec(text)?.[1]);
  expect(value('process_resident_memory_bytes')).toBeGreaterThan(1e6);
  expect(value('process_open_fds')).toBeGreaterThan(2);
  expect(value('process_cpu_seconds_total')).toBeGreaterThan(0);
  expect(value('process_start_time_seconds')).toBeLessThanOrEqual(Date.now() / 1000);
});

test.skipIf(whyNot !== '')(`promtool finds nothing to improve in them${whyNot}`, async () => {
  const report = sampleReport([
    sampleMirror({ name: 'with "quotes"\n' }),
    ...Object.values(awkwardMirrors()),
  ]);
  const requests = new RequestCounts();
  requests.count(200, 1);
  const { exitCode, all } = await execa('promtool', ['check', 'metrics'], {
    input: await metricsOf(() => report, requests),
    all: true,
    reject: false,
  });
  expect(all).toBe('');
  expect(exitCode).toBe(0);
});

test('the alerts of the manual ask for figures that there are', async () => {
  const report = sampleReport([sampleMirror()]);
  const text = await metricsOf(() => report);
  const names = alerts.flatMap((rules) => rules.match(/mirrorlatch_\w+/g) ?? []);
  expect(names.length).toBeGreaterThan(2);
  for (const name of names) expect(text).toContain(`\n${name}{`);
});

test.skipIf(whyNot !== '')(`promtool finds nothing wrong in them${whyNot}`, async () => {
  for (const rules of alerts) {
    const file = join(scratchDirectory(), 'rules.yml');
    writeFileSync(file, rules);
    const { exitCode, all } = await execa('promtool', ['check', 'rules', file], {
      all: true,
      reject: false,
    });
    expect(exitCode, all).toBe(0);
    expect(all).toContain('SUCCESS: 3 rules found');
  }
});
