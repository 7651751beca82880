import { type Answer, RETRY_AFTER } from '../answers.ts';
import type { Metrics } from '../status/metrics.ts';
import { health } from '../status/mirror-state.ts';
import type { RequestCounts } from '../status/request-counts.ts';
import { CONTENT_SECURITY_POLICY, statusPage } from '../status/status-page.ts';
import type { StatusReport } from '../status/status-report.ts';
import { OWN_PAGES } from './routes.ts';

const HTML = 'text/html; charset=utf-8';
const TEXT = 'text/plain; charset=utf-8';

/** The server's own pages. */
export class StatusPages {
  readonly #report: () => StatusReport;
  readonly #requests: RequestCounts;
  #metrics: Promise<Metrics> | undefined;
  #made: { of: StatusReport; pages: Map<string, Buffer> } | undefined;

  /** @param report the current one, at any time; cheap, as that of `StatusReporter`. */
  constructor(report: () => StatusReport, requests: RequestCounts) {
    this.#report = report;
    this.#requests = requests;
  }

  /** @param path below `/-/`. @returns undefined when there is no such page. */
  async answer(path: string): Promise<Answer | undefined> {
    const name = OWN_PAGES.find((one) => one === path);
    switch (name) {
      case undefined:
        return undefined;
      case '':
      case 'still': {
        const html = this.#once(name, (report) => statusPage(report, name === 'still'));
        return page(200, HTML, html);
      }
      case 'status.json':
        return page(200, 'application/json', this.#once(name, asJson));
      case 'metrics': {
        const metrics = await this.#loadMetrics();
        return page(200, metrics.contentType, await metrics.text());
      }
      case 'healthz': {
        const reasons = health(this.#report());
        return reasons.length === 0
          ? page(200, TEXT, 'ok\n')
          : page(503, TEXT, `${reasons.join('\n')}\n`, RETRY_AFTER);
      }
      default:
        return name satisfies never;
    }
  }

  /** Many servers are never asked for them, so that they need not load what makes them. */
  #loadMetrics(): Promise<Metrics> {
    this.#metrics ??= import('../status/metrics.ts').then(
      ({ Metrics }) => new Metrics(this.#report, this.#requests),
    );
    return this.#metrics;
  }

  /** Makes a page of each report once. All who ask for it share its memory, however slowly they read. */
  #once(name: string, make: (report: StatusReport) => string): Buffer {
    const report = this.#report();
    if (this.#made?.of !== report) this.#made = { of: report, pages: new Map() };
    const { pages } = this.#made;
    const made = pages.get(name) ?? Buffer.from(make(report));
    pages.set(name, made);
    return made;
  }
}

function asJson(report: StatusReport): string {
  return `${JSON.stringify(report)}\n`;
}

function page(
  status: number,
  type: string,
  body: Answer['body'],
  more: Answer['headers'] = {},
): Answer {
  const headers = {
    ...more,
    'Content-Type': type,
    'Cache-Control': 'no-store',
    'Content-Security-Policy': CONTENT_SECURITY_POLICY,
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
  };
  return { status, headers, body };
}
