import type { Metrics } from './metrics.ts';
import { health } from './mirror-state.ts';
import { CONTENT_SECURITY_POLICY, statusPage } from './status-page.ts';
import type { StatusReport } from './status-report.ts';

const HTML = 'text/html; charset=utf-8';

export interface StatusAnswer {
  status: number;
  headers: Readonly<Record<string, string>>;
  body: string;
}

/** The server's own pages. */
export class StatusPages {
  readonly #report: () => StatusReport;
  readonly #metrics: Metrics;
  #page: { of: StatusReport; text: string } | undefined;

  /** @param report the current one, at any time; cheap, as that of `StatusReporter`. */
  constructor(report: () => StatusReport, metrics: Metrics) {
    this.#report = report;
    this.#metrics = metrics;
  }

  /** @param path below `/-/`. @returns undefined when there is no such page. */
  async answer(path: string): Promise<StatusAnswer | undefined> {
    switch (path) {
      case '':
        return answer(200, HTML, this.#html(this.#report()));
      case 'still':
        return answer(200, HTML, statusPage(this.#report(), true));
      case 'status.json':
        return answer(200, 'application/json', `${JSON.stringify(this.#report())}\n`);
      case 'metrics':
        return answer(200, this.#metrics.contentType, await this.#metrics.text());
      case 'healthz': {
        const reasons = health(this.#report());
        const isHealthy = reasons.length === 0;
        const text = isHealthy ? 'ok' : reasons.join('\n');
        return answer(isHealthy ? 200 : 503, 'text/plain; charset=utf-8', `${text}\n`);
      }
      default:
        return undefined;
    }
  }

  #html(report: StatusReport): string {
    if (this.#page?.of !== report) this.#page = { of: report, text: statusPage(report) };
    return this.#page.text;
  }
}

function answer(status: number, type: string, body: string): StatusAnswer {
  const headers = {
    'Content-Type': type,
    'Cache-Control': 'no-store',
    'Content-Security-Policy': CONTENT_SECURITY_POLICY,
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
  };
  return { status, headers, body };
}
