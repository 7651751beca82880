import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { StatusPages } from '../../../src/http/server/status-routes.ts';
import { RequestCounts } from '../../../src/http/status/request-counts.ts';
import type { StatusReport } from '../../../src/http/status/status-report.ts';
import { type Browser, type Page, startBrowser } from '../../support/http/browser.ts';
import { awkwardMirrors, sampleMirror, sampleReport } from '../../support/http/sample-report.ts';
import { whyNotInstalled } from '../../support/installed.ts';

const whyNot = whyNotInstalled('chromium');

/** What is served, by path. */
const REPORTS: Readonly<Record<string, StatusReport>> = {
  fresh: sampleReport([sampleMirror()]),
  empty: sampleReport([awkwardMirrors().empty], { maxAgeMs: null }),
  syncing: sampleReport([awkwardMirrors().syncing]),
  'with-long-names': sampleReport([
    sampleMirror({ name: 'm'.repeat(200), source: `rsync://${'host.'.repeat(60)}` }),
  ]),
  'of-twelve': sampleReport(
    Array.from({ length: 12 }, (_, at) => sampleMirror({ name: `mirror-${at}` })),
  ),
  'of-all-states': sampleReport(Object.values(awkwardMirrors())),
};

/** axe-core finds what keeps people from reading a page: low contrast, tables without headers, and more. */
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let server: Server;
let base: string;
beforeAll(async () => {
  server = createServer((request, response) => {
    const [, name = '', path = ''] = request.url?.split('/') ?? [];
    const report = REPORTS[name];
    if (report === undefined) {
      response.writeHead(404).end();
      return;
    }
    const pages = new StatusPages(() => report, new RequestCounts());
    void pages.answer(path).then((answer) => {
      response.writeHead(answer?.status ?? 500, answer?.headers).end(answer?.body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => server.close());

describe.skipIf(whyNot !== '')(`in a browser${whyNot}`, () => {
  let browser: Browser;
  beforeAll(() => {
    browser = startBrowser();
  });
  afterAll(() => browser.close());

  test.for(Object.keys(REPORTS))(
    'the page %s can be read by anybody, on a telephone too',
    async (name) => {
      for (const surroundings of [{ width: 320 }, { width: 320, isDark: true }, { width: 1280 }]) {
        const { width } = surroundings;
        const page = await browser.open(`${base}/${name}/still`, surroundings);
        expect(await violations(page)).toEqual([]);
        expect(page.complaints()).toEqual([]);
        const wide = await page.evaluate<number>('document.documentElement.scrollWidth');
        expect(wide, `${width} pixels`).toBeLessThanOrEqual(width);
      }
    },
  );

  test('it renews itself, and that can be stopped', async () => {
    const page = await browser.open(`${base}/fresh/`, { width: 320 });
    expect(await page.evaluate(`document.querySelector('meta[http-equiv]').content`)).toBe('60');
    const [still] = await page.evaluate<string[]>(`[document.querySelector('footer a').href]`);
    const stopped = await browser.open(still ?? '', { width: 320 });
    expect(await stopped.evaluate(`document.querySelector('meta[http-equiv]')`)).toBe(null);
    expect(await stopped.evaluate(`document.querySelector('footer a').href`)).toBe(
      `${base}/fresh/`,
    );
  });

  test('it is dark where the reader wants it dark, and white on paper', async () => {
    const colours = async (surroundings: object) => {
      const page = await browser.open(`${base}/fresh/`, { width: 800, ...surroundings });
      return page.evaluate<string>('getComputedStyle(document.body).backgroundColor');
    };
    expect(await colours({ isDark: true })).toBe('rgb(13, 17, 23)');
    expect(await colours({ isDark: false })).toBe('rgb(244, 246, 248)');
    expect(await colours({ isPrint: true })).toBe('rgb(255, 255, 255)');
  });

  test('on a telephone, no name and no age is broken in the table of all mirrors', async () => {
    const page = await browser.open(`${base}/of-all-states/still`, { width: 320 });
    const lines = await page.evaluate<[string, number][]>(`
      [...document.querySelectorAll('.all tbody th a, .all tbody td:nth-child(3)')].map((element) => {
        const range = document.createRange();
        range.selectNodeContents(element);
        const tops = [...range.getClientRects()].filter(({ width }) => width > 0).map(({ top }) => top);
        return [element.textContent, new Set(tops).size];
      })`);
    expect(lines.length).toBeGreaterThan(10);
    expect(lines.filter(([, count]) => count !== 1)).toEqual([]);
  });

  test('what is done of a sync is shown as a bar', async () => {
    const page = await browser.open(`${base}/syncing/`, { width: 320 });
    const [share, bar] = await page.evaluate<[number, number]>(`(() => {
      const bar = document.querySelector('progress');
      return [bar.position, bar.getBoundingClientRect().width];
    })()`);
    expect(share).toBeCloseTo(0.43);
    expect(bar).toBeGreaterThan(200);
  });
});

/** What axe-core finds, a line each. */
async function violations(page: Page): Promise<string[]> {
  await page.evaluate(`${AXE};0`);
  return page.evaluate<string[]>(`axe.run().then(({ violations }) =>
    violations.flatMap(({ id, nodes }) =>
      nodes.map((node) => id + ': ' + node.html + ' ' + node.failureSummary)))`);
}
