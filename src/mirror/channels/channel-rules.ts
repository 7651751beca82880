import { MirrorlatchError } from '../../errors.ts';
import type { ChannelRule } from '../settings/policy.ts';
import { isChannelName } from '../settings/policy.ts';
import { parseChannelName } from './channel-names.ts';

/** The rules of a mirror, by their channels. */
export type ChannelRules = Readonly<Record<string, ChannelRule>>;

/**
 * The rules, with others added, put in their place, or ended by null; undefined if none is left.
 *
 * @throws MirrorlatchError USAGE for a name that no channel can have, and for channels that follow each other.
 */
export function joinRules(
  before: ChannelRules | undefined,
  given: Readonly<Record<string, ChannelRule | null>>,
): Record<string, ChannelRule> | undefined {
  for (const name of Object.keys(given)) parseChannelName(name);
  const rules: Record<string, ChannelRule> = {};
  for (const [name, rule] of Object.entries({ ...before, ...given })) {
    if (rule === null) continue;
    if (rule.from !== 'current' && !isChannelName(rule.from)) throw noSource(name, rule.from);
    rules[name] = rule;
  }
  for (const name of Object.keys(rules)) refuseCycle(rules, name);
  return Object.keys(rules).length === 0 ? undefined : rules;
}

function noSource(name: string, from: string): MirrorlatchError {
  return new MirrorlatchError(
    'USAGE',
    `the channel ${name} cannot follow ${JSON.stringify(from)}, which names no channel`,
    { hint: `Let it follow current or a channel: --channel '${name}=current after 7d'` },
  );
}

function refuseCycle(rules: ChannelRules, name: string): void {
  const sources = new Set<string>();
  for (let next = rules[name]?.from; next !== undefined; next = rules[next]?.from) {
    // The look at one of the others names that circle.
    if (sources.has(next)) return;
    sources.add(next);
    if (next !== name) continue;
    const circle = [name, ...sources].join(' follows ');
    throw new MirrorlatchError('USAGE', `the rules of channels go in a circle: ${circle}`, {
      hint: `Let one of them follow current, or end its rule with: --channel ${name}=none`,
    });
  }
}
