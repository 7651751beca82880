import { describeHold } from '../../mirror/settings/settings.ts';
import { showSpan } from '../../mirror/units.ts';
import type { Facts } from '../../operations/explain.ts';
import type { ChannelInfo } from '../../operations/status.ts';
import { quoteForSh } from '../../system/quote.ts';
import { showRule } from '../options/channels.ts';
import { showSince } from '../units.ts';
import { type Answer, answer } from './answer.ts';

/** What each channel names, by which rule, and what moves it on. */
export function channelAnswer({ status: { root, channels } }: Facts): Answer[] {
  if (channels.length === 0) return [];
  const held = channels.find(({ hold }) => hold !== null);
  const release = `mirrorlatch rollback ${quoteForSh(root)} --channel ${held?.name} --release`;
  const isRefused = channels.some(({ refused }) => refused !== null);
  const look = isRefused ? `mirrorlatch config show ${quoteForSh(root)}` : null;
  return [
    answer('Why are its channels where they are?', [], {
      quoted: channels.map(describeChannel),
      command: held === undefined ? look : release,
    }),
  ];
}

/** A clause. */
export function describeChannel({
  name,
  id,
  isWhole,
  since,
  rule,
  next,
  hold,
  refused,
}: ChannelInfo): string {
  const named = id === null ? 'does not exist yet' : `is ${id}${isWhole ? '' : ', which is gone'}`;
  const age = since === null ? '' : `, moved ${showSince(since)}`;
  const follows = rule === null ? '' : `; it follows ${showRule(rule)}`;
  const then = next === null ? '' : `, next ${next.id} ${describeWhen(next.inMs, refused)}`;
  return `${name} ${named}${age}${follows}${then}${hold === null ? '' : `; ${describeHold(hold)}`}`;
}

function describeWhen(ms: number, refused: ChannelInfo['refused']): string {
  if (refused !== null)
    return `once the hook before-publish agrees, which said no ${showSince(refused.at)}`;
  return ms === 0 ? 'by the next command' : `in ${showSpan(ms)}`;
}
