import { createHash } from 'node:crypto';
import { printable } from '../../mirror/names.ts';
import { describeLeftOut } from '../../mirror/plan/left-out.ts';
import { describeWritable } from '../../mirror/trees/writable.ts';
import { isAhead, showBytes, showTime } from '../../mirror/units.ts';
import { inLatin1 } from '../latin1.ts';
import { percentEncoded } from '../percent.ts';
import type { Change, LastOutcome } from './history-digest.ts';
import { Html, html } from './html.ts';
import { type MirrorState, stateOf, whyStale } from './mirror-state.ts';
import type {
  DayReport,
  MirrorReport,
  PinReport,
  SnapshotReport,
  StatusReport,
  WorkReport,
} from './status-report.ts';
import { STYLE } from './status-style.ts';
import { syncPlot } from './sync-plot.ts';
import { ageInWords, grouped, plural, shortAge } from './words.ts';

/** Only this style, and no script: all that comes from a mirror can be nothing but text. */
export const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** How soon the page is asked for again, while a sync runs and otherwise; s. */
const REFRESH = { busy: 5, idle: 60 };

const STILL = html`This page stays as it is (<a href="./">renew it</a>).`;

const UNSEEN = html`<p class="dim">What a crash may have left in the staging directories of mirrors is not shown: only their owner may look there.</p>`;

type Level = 'good' | 'note' | 'warn' | 'bad';

const WORDS: Readonly<Record<MirrorState, readonly [Level, string]>> = {
  fresh: ['good', 'Fresh'],
  synced: ['good', 'Synced'],
  served: ['note', 'Served'],
  held: ['note', 'Held'],
  attention: ['warn', 'Needs a look'],
  failed: ['warn', 'Last sync failed'],
  damaged: ['bad', 'Damaged'],
  stale: ['bad', 'Stale'],
  closed: ['bad', 'Closed'],
  dirty: ['bad', 'Not whole'],
  empty: ['bad', 'Empty'],
  unreadable: ['bad', 'Unreadable'],
};

const SIGNS: Readonly<Record<Level, string>> = { good: '✓', note: 'i', warn: '!', bad: '✕' };
/** The worst first. */
const LEVELS: readonly Level[] = ['bad', 'warn', 'note', 'good'];

/** With more mirrors than these, fewer publications of each are listed, and then none. */
const FEW = 4;
const MANY = 8;
const MOST_PROBLEMS = 6;
const LONGEST = 400;

/** The page that shows a report in a browser. Pure. @param isStill it does not renew itself. */
export function statusPage(report: StatusReport, isStill = false): string {
  const { mirrors, madeAt, host } = report;
  const isBusy = mirrors.some(({ work }) => work?.state === 'running');
  const seconds = isBusy ? REFRESH.busy : REFRESH.idle;
  const levels = mirrors.map((mirror) => levelOf(mirror, report));
  const worst = LEVELS.find((level) => levels.includes(level)) ?? 'note';
  const summary = summaryOf(levels, mirrors);
  const worstFirst = LEVELS.flatMap((level) => mirrors.filter((_, at) => levels[at] === level));
  const page = html`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
${!isStill && html`<meta http-equiv="refresh" content="${seconds}">`}
<title>${SIGNS[worst]} ${summary} &ndash; ${host}</title>
<link rel="icon" href="${iconOf(worst)}">
<style>${new Html(STYLE)}</style>
</head>
<body${mirrors.length > 1 ? null : new Html(' class="one"')}>
<header>
<p class="host">Mirrors on ${host}</p>
<h1 class="${worst}">${summary}</h1>
<p class="dim">As of ${utc(madeAt)}${limitOf(report)}</p>
</header>
<main>
${mirrors.length > 1 && overview(worstFirst, report)}
<div class="${mirrors.length > 1 ? 'cards many' : 'cards'}">${worstFirst.map((mirror, at) => card(mirror, report, `m${at}`))}</div>
</main>
<footer><p class="dim">${isStill ? STILL : html`This page renews itself every ${seconds} seconds (<a href="still">stop that</a>).`} For programs: <a href="status.json">status.json</a>, <a href="metrics">metrics</a>, <a href="healthz">healthz</a></p>${mirrors.some(({ unseen }) => unseen.length > 0) && UNSEEN}</footer>
</body>
</html>
`;
  return page.text;
}

function levelOf(mirror: MirrorReport, report: StatusReport): Level {
  return WORDS[stateOf(mirror, report)][0];
}

function summaryOf(levels: readonly Level[], mirrors: readonly MirrorReport[]): string {
  const asKnown = mirrors.some(({ kind }) => kind === 'foreign') ? ', as far as is known' : '';
  const wrong = levels.filter((level) => level === 'bad' || level === 'warn').length;
  if (levels.length === 0) return 'No mirror is served';
  if (levels.length === 1)
    return wrong === 0 ? `All is well${asKnown}` : 'The mirror needs attention';
  if (wrong === 0) return `All is well with ${levels.length} mirrors${asKnown}`;
  return `${wrong} of ${levels.length} mirrors need${wrong === 1 ? 's' : ''} attention`;
}

function limitOf({ maxAgeMs }: StatusReport): string {
  return maxAgeMs === null ? '' : `. Fresh is what was synced in the last ${ageInWords(maxAgeMs)}`;
}

/** A dot, so that a tab of many shows the state. */
function iconOf(level: Level): string {
  const colour = { good: '1a7f37', note: '0969da', warn: 'bf8700', bad: 'cf222e' }[level];
  return `data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle cx='8' cy='8' r='7' fill='%23${colour}'/%3E%3C/svg%3E`;
}

function overview(mirrors: readonly MirrorReport[], report: StatusReport): Html {
  return html`<table class="all"><caption>All mirrors</caption>
<thead><tr><th scope="col">Mirror</th><th scope="col">State</th><th scope="col">Synced</th><th scope="col" class="wide">Size</th><th scope="col" class="wide">Readers</th></tr></thead>
<tbody>${mirrors.map((mirror, at) => overviewRow(mirror, report, `m${at}`))}</tbody></table>`;
}

function overviewRow(mirror: MirrorReport, report: StatusReport, id: string): Html {
  const { name, kind, unreadable, lastSuccessAt, current, work, pins } = mirror;
  const isUnknown = kind === 'foreign' || unreadable !== null;
  const age =
    lastSuccessAt === null
      ? html`${isUnknown ? '?' : 'never'}`
      : html`${shortAge(Date.parse(report.madeAt) - Date.parse(lastSuccessAt))}<span class="wide"> ago</span>`;
  const share = work?.state === 'running' && html` <span class="dim">${shareOf(work)}</span>`;
  const readers = (pins?.pins ?? 0) + (pins?.strictPins ?? 0) + leasesOfOthers(mirror);
  return html`<tr><th scope="row"><a href="#${id}">${name}</a></th><td>${badge(stateOf(mirror, report))}${share}</td><td>${age}</td><td class="wide">${showBytes(current?.bytes ?? null)}</td><td class="wide">${grouped(readers)}</td></tr>
`;
}

function badge(state: MirrorState): Html {
  const [level, word] = WORDS[state];
  return html`<span class="badge ${level}"><span aria-hidden="true">${SIGNS[level]}</span> ${word}</span>`;
}

function card(mirror: MirrorReport, report: StatusReport, id: string): Html {
  const now = Date.parse(report.madeAt);
  const problems = problemsOf(mirror, report);
  return html`<section class="${levelOf(mirror, report)}" aria-labelledby="${id}">
<div class="head"><h2 id="${id}">${mirror.name}</h2>${badge(stateOf(mirror, report))}</div>
<p class="lead">${leadOf(mirror, now)}</p>
${problems.length > 0 && html`<ul class="problems">${problems.slice(0, MOST_PROBLEMS).map((problem) => html`<li>${problem}</li>`)}</ul>`}
${mirror.work?.state === 'running' && workOf(mirror.work, now)}
<dl>${facts(mirror, now)}</dl>
${syncPlot(mirror.outcomes, now)}
${changesOf(mirror, now, listedOf(report))}
</section>
`;
}

/** When the source was last looked at with success, and what came of it. */
function leadOf(
  { kind, lastSuccessAt, lastOutcome, lastFullLookAt, current }: MirrorReport,
  now: number,
): Html {
  if (kind === 'foreign') {
    const since = current?.since ?? null;
    const flipped =
      since !== null && html`, which pointed <code>current</code> to this tree ${ago(since, now)}`;
    return html`Kept by another program${flipped}. When that last looked at its source is not known.`;
  }
  if (lastSuccessAt === null) return html`No sync has succeeded yet.`;
  const came = lastOutcome === null ? undefined : whatCame(lastOutcome);
  const quick = lastOutcome?.look ?? null;
  const all =
    quick !== null &&
    lastFullLookAt !== null &&
    html` All of its source was last looked at ${ago(lastFullLookAt, now)}.`;
  return html`Last successful sync <strong>${ago(lastSuccessAt, now)}</strong>${came && `: ${came}`}.${all}`;
}

function whatCame({ event, look }: LastOutcome): string | undefined {
  switch (event) {
    case 'published':
      return 'it published something new';
    case 'unchanged':
      if (look === 'probe') return 'nothing new, by the stamps of the source';
      return look === 'file-list' ? 'nothing new, by the list of files' : 'nothing new';
    case 'failed':
      return undefined;
  }
}

/** The worst first. */
function problemsOf(mirror: MirrorReport, report: StatusReport): Html[] {
  const now = Date.parse(report.madeAt);
  const state = stateOf(mirror, report);
  const { unreadable, gate, work, hold, left, damaged, damagedHistoryLines } = mirror;
  const { lastOutcome, current } = mirror;
  const failed = lastOutcome?.event === 'failed' ? lastOutcome : undefined;
  return [
    unreadable !== null && html`${brief(unreadable)}`,
    gate !== null && html`The tree ${brief(gate.why)}.`,
    state === 'empty' && gate === null && html`Nothing has been published yet.`,
    ...damaged.map(({ id, entries }) => describeDamage(id, entries, mirror)),
    state === 'stale' && whyItMatters(mirror, report),
    failed !== undefined && describeFailure(mirror, failed, now),
    work?.state === 'silent' &&
      html`The lock was left by ${workerOf(work)}, which has died or is silent.`,
    hold !== null &&
      html`Held by ${hold.by} since ${utc(hold.since)}: ${brief(hold.reason)}. Nothing new is published until it is released.`,
    ...left.map((one) => html`Left behind: ${brief(one)}.`),
    damagedHistoryLines > 0 &&
      html`${plural(damagedHistoryLines, 'line')} of its history cannot be read.`,
    current?.writableByAll != null &&
      current.writableByAll.count > 0 &&
      html`Not safe: ${describeWritable(current.writableByAll)}.`,
  ].filter((problem) => problem !== false);
}

function describeDamage(id: string, entries: number, { current, kind }: MirrorReport): Html {
  const many = grouped(entries);
  const what = html`${many} ${entries === 1 ? 'entry is' : 'entries are'} not what was published`;
  if (kind === 'in-place') return html`Damage was found by verify: in the tree, ${what}.`;
  const where = id === current?.id ? ', which is current' : '';
  return html`Damage was found by verify: in ${id}${where}, ${what}.`;
}

function whyItMatters(mirror: MirrorReport, { madeAt, maxAgeMs }: StatusReport): Html {
  const limit = maxAgeMs === null ? '' : ` of ${ageInWords(maxAgeMs)}`;
  return html`What clients get may be out of date: ${whyStale(mirror, Date.parse(madeAt))}, and the limit${limit} is over.`;
}

function describeFailure(
  { failures, failureLog }: MirrorReport,
  { at, message }: LastOutcome,
  now: number,
): Html {
  const log = failureLog !== null && html`. Its log: <code>${brief(failureLog)}</code>`;
  const before = failures > 1 ? `, the ${ordinal(failures)} time in a row` : '';
  return html`The last sync failed ${ago(at, now)}${before}: ${brief(message ?? '')}${log}`;
}

function ordinal(count: number): string {
  const isTeen = Math.floor((count % 100) / 10) === 1;
  const end = isTeen ? 'th' : (['th', 'st', 'nd', 'rd'][count % 10] ?? 'th');
  return `${count}${end}`;
}

/** Messages of programs may have any length, and characters that change how a line is read. */
function brief(text: string): string {
  const line = printable(text.trim().replaceAll(/\s*\n\s*/g, ' '));
  return line.length > LONGEST ? `${line.slice(0, LONGEST)}…` : line;
}

function workOf(work: WorkReport, now: number): Html {
  const { phase, done, since } = work;
  const began = since !== null && html`, for ${ageInWords(now - Date.parse(since))}`;
  const value = done === null ? '' : html` value="${done.toFixed(3)}"`;
  return html`<div class="work"><p><strong>${workerOf(work)}</strong>${began}: ${phase ?? 'at work'} ${shareOf(work)}</p><progress max="1"${value} aria-label="How far ${phase ?? 'it'} is"></progress></div>`;
}

function workerOf({ command, user, host, pid }: WorkReport): string {
  const at = [user === null ? '' : ` by ${user}`, host === null ? '' : ` on ${host}`].join('');
  return `${command ?? 'a process'}${at}${pid === null ? '' : ` (pid ${pid})`}`;
}

function shareOf({ done }: WorkReport): string {
  return done === null ? '' : `${Math.floor(done * 100)}\u{a0}%`;
}

function facts(mirror: MirrorReport, now: number): Html[] {
  const { kind, content, current, snapshots, source, pins, lastDay } = mirror;
  const inPlace = kind === 'in-place';
  const href = inUrl(content);
  const since = current !== null && current.since !== null && html`, since ${utc(current.since)}`;
  return [
    current !== null &&
      fact('Current', html`<a href="${href}">${inPlace ? 'the tree' : current.id}</a>${since}`),
    current?.files != null &&
      fact('Size', html`${plural(current.files, 'file')}, ${showBytes(current.bytes)}`),
    snapshots.length > 0 &&
      fact('Kept', html`${plural(snapshots.length, 'snapshot')}${oldestOf(mirror, now)}`),
    fact('Readers', readersOf(mirror)),
    pins !== null && !inPlace && fact('By HTTP', pinsOf(mirror, pins)),
    lastDay !== null && lastDay.publications > 0 && fact('Last 24 h', dayOf(lastDay)),
    current !== null &&
      current.leftOut.length > 0 &&
      fact(
        'Left out',
        html`${current.leftOut.map((one) => html`<span class="line">${brief(describeLeftOut(one))}</span>`)}`,
      ),
    source !== null && fact('Source', html`<code>${brief(source)}</code>`),
  ].filter((one) => one !== false);
}

/** A path as a browser asks for it. */
function inUrl(path: string): string {
  return percentEncoded(inLatin1(path), /[^\w/.~-]/g);
}

function fact(name: string, value: Html): Html {
  return html`<div><dt>${name}</dt><dd>${value}</dd></div>`;
}

function oldestOf({ snapshots }: MirrorReport, now: number): Html | false {
  const oldest = snapshots.at(-1)?.publishedAt ?? null;
  return (
    oldest !== null && snapshots.length > 1 && html`, the oldest published ${ago(oldest, now)}`
  );
}

function readersOf({ kind, snapshots, leases }: MirrorReport): Html {
  if (kind === 'foreign') return html`not known: this tree has no leases`;
  if (leases === null) return html`not known`;
  const others = leasesOfOthers({ snapshots, leases });
  const held = snapshots.filter((snapshot) => snapshot.leases > ownLeases(snapshot)).length;
  const on = held > 1 ? ` on ${plural(held, 'snapshot')}` : '';
  if (others === 0) return html`${leases > 0 ? 'none but those by HTTP' : 'none'}`;
  const own = others < leases && ', besides those by HTTP';
  return html`${plural(others, 'lease')} held${on}${own}`;
}

/** Without the one that the server holds of each snapshot for all its pins. */
function leasesOfOthers({ snapshots, leases }: Pick<MirrorReport, 'snapshots' | 'leases'>): number {
  const own = snapshots.reduce((sum, snapshot) => sum + ownLeases(snapshot), 0);
  return (leases ?? 0) - own;
}

function ownLeases({ leases, pins }: SnapshotReport): number {
  return Math.min(leases, pins > 0 ? 1 : 0);
}

/** Clients by their runs, and the pins that were asked for by POST. */
function pinsOf({ snapshots, current }: MirrorReport, pins: PinReport): Html {
  const { pins: runs, strictPins, oldestSeconds } = pins;
  if (runs + strictPins === 0) return html`none`;
  const oldest =
    oldestSeconds !== null && ` (the oldest run began ${ageInWords(oldestSeconds * 1000)} ago)`;
  const clients = runs > 0 && html`${plural(runs, 'client')} in a run${oldest}`;
  const strict = strictPins > 0 && plural(strictPins, 'strict pin');
  const older = snapshots
    .filter(({ id }) => id !== current?.id)
    .reduce((sum, snapshot) => sum + snapshot.pins, 0);
  const behind = older > 0 && html`; ${grouped(older)} of them on earlier snapshots`;
  return html`${clients}${clients && strict && ', '}${strict}${behind}`;
}

function dayOf({ publications, newFiles, deletedFiles, newBytes }: DayReport): Html {
  return html`${plural(publications, 'publication')}: ${grouped(newFiles)} new or changed, ${grouped(deletedFiles)} deleted, ${showBytes(newBytes)} fetched`;
}

/** How many publications of each mirror are listed. */
function listedOf({ mirrors }: StatusReport): number {
  if (mirrors.length > MANY) return 0;
  return mirrors.length > FEW ? 2 : 5;
}

function changesOf({ changes }: MirrorReport, now: number, most: number): Html | false {
  if (changes.length === 0 || most === 0) return false;
  return html`<table class="changes"><caption>Files in the last publications</caption><thead><tr><th scope="col">When</th><th scope="col">Changed</th><th scope="col">Deleted</th><th scope="col">Fetched</th></tr></thead>
<tbody>${changes.slice(0, most).map((change) => changeRow(change, now))}</tbody></table>`;
}

function changeRow(change: Change, now: number): Html {
  const { event, at, id, newFiles, newBytes, deletedFiles, deletedShare } = change;
  const when = html`<tr><th scope="row">${ago(at, now, shortAge)}</th>`;
  if (event === 'rolled-back') return html`${when}<td colspan="3">rolled back to ${id}</td></tr>`;
  if (newFiles === null) return html`${when}<td colspan="3">${id}: not recorded</td></tr>`;
  const share =
    deletedShare !== null &&
    deletedShare >= 0.0005 &&
    html` <span class="dim">${(deletedShare * 100).toFixed(1)} %</span>`;
  return html`${when}<td>${grouped(newFiles)}</td><td>${deletedFiles === null ? '?' : grouped(deletedFiles)}${share}</td><td>${showBytes(newBytes)}</td></tr>
`;
}

/** `3 hours ago`, or when, if that lies in the future. */
function ago(time: string, now: number, inWords = ageInWords): Html {
  const text = isAhead(time, now)
    ? `at ${showTime(time)}, which lies in the future`
    : `${inWords(now - Date.parse(time))} ago`;
  return html`<time datetime="${toTheMinute(time)}">${text}</time>`;
}

/** `2026-11-27 01:02 UTC` */
function utc(time: string): string {
  return `${toTheMinute(time).replace('T', ' ').replace('Z', '')} UTC`;
}

/** `2026-11-27T01:02Z` */
function toTheMinute(time: string): string {
  return `${new Date(time).toISOString().slice(0, 16)}Z`;
}
