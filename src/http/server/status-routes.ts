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
  #page: { of: StatusReport; text: string } | undefined;

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
        return page(200, HTML, this.#html(this.#report()));
      case 'still':
        return page(200, HTML, statusPage(this.#report(), true));
      case 'status.json':
        return page(200, 'application/json', `${JSON.stringify(this.#report())}\n`);
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

  #html(report: StatusReport): string {
    if (this.#page?.of !== report) this.#page = { of: report, text: statusPage(report) };
    return this.#page.text;
  }
}

function page(status: number, type: string, body: string, more: Answer['headers'] = {}): Answer {
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
