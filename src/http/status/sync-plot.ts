import { showBytes } from '../../mirror/units.ts';
import { MOST_OUTCOMES, type Outcome } from './history-digest.ts';
import { type Html, html } from './html.ts';
import { ageInWords, durationInWords, plural } from './words.ts';

/** The width of one sync, and the height of the highest bar; units of the drawing. */
const STEP = 10;
const HEIGHT = 44;
/** Room for all, so that few are drawn no larger than many. */
const WIDTH = MOST_OUTCOMES * STEP;

/** Two bar charts of the last syncs: how long they took, and how much came from the source. */
export function syncPlot(outcomes: readonly Outcome[], now: number): Html | undefined {
  const [first] = outcomes;
  if (first === undefined || outcomes.length < 2) return undefined;
  const since = `${ageInWords(now - Date.parse(first.at))} ago`;
  const failures = outcomes.filter(({ event }) => event === 'failed').length;
  const failed = failures === 0 ? 'None of them failed.' : `${plural(failures, 'sync')} failed.`;
  const seconds = outcomes.map((outcome) => outcome.seconds);
  const bytes = outcomes.map(({ newBytes }) => newBytes);
  const longest = `the longest took ${durationInWords(largest(seconds))}`;
  const most = `the most in one was ${showBytes(largest(bytes))}`;
  const about = `The last ${plural(outcomes.length, 'sync')}, since ${since}`;
  return html`<figure><figcaption>${about}</figcaption>
${chart('Time', longest, failed, outcomes, seconds)}
${chart('Fetched', most, failed, outcomes, bytes)}
<p class="legend"><i class="made"></i> published <i class="same"></i> nothing new${failures > 0 && html` <b class="bad">&times;</b> failed`}</p></figure>`;
}

function chart(
  name: string,
  extreme: string,
  failed: string,
  outcomes: readonly Outcome[],
  values: readonly (number | null)[],
): Html {
  const all = { outcomes, values, scale: HEIGHT / Math.max(largest(values), Number.MIN_VALUE) };
  return html`<p class="axis">${name}: ${extreme}</p><svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img"><title>${name} by sync</title><desc>${extreme}. ${failed}</desc>${path('same', bars(all, 'unchanged'))}${path('made', bars(all, 'published'))}${path('lost', crosses(outcomes))}</svg>`;
}

function path(kind: string, drawing: string): Html | false {
  return drawing !== '' && html`<path class="${kind}" d="${drawing}"/>`;
}

interface Bars {
  outcomes: readonly Outcome[];
  values: readonly (number | null)[];
  /** Units of the drawing for one of the values. */
  scale: number;
}

/** Strokes of the syncs that ended so. What took any time or brought anything shows. */
function bars({ outcomes, values, scale }: Bars, event: Outcome['event']): string {
  return outcomes
    .map((outcome, at) => {
      const value = values[at] ?? 0;
      if (outcome.event !== event || value <= 0) return '';
      return `M${middle(at)} ${HEIGHT}v-${Math.max(1, Math.round(value * scale))}`;
    })
    .join('');
}

function crosses(outcomes: readonly Outcome[]): string {
  return outcomes
    .map(({ event }, at) =>
      event === 'failed' ? `M${middle(at) - 3} ${HEIGHT - 9}l6 6m0-6l-6 6` : '',
    )
    .join('');
}

function middle(at: number): number {
  return at * STEP + STEP / 2;
}

function largest(values: readonly (number | null)[]): number {
  return Math.max(0, ...values.map((value) => value ?? 0));
}
