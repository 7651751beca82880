import type { CheckedRecord } from '../mirror/history/history-line.ts';
import type { CheckPolicy } from '../mirror/settings/policy.ts';
import type { Settings } from '../mirror/settings/records.ts';
import { quoteForSh } from '../system/quote.ts';
import { policyOf } from './policy.ts';

/**
 * Whether a tree was published without a check that is wanted now: a sync that finds nothing new does not make up for it.
 *
 * @param checked what history keeps of the check that it had.
 * @param policy with something to check.
 */
export function wasNeverChecked(checked: CheckedRecord | undefined, policy: CheckPolicy): boolean {
  if (checked === undefined) return true;
  const { kinds, keyring, content } = policy;
  return (
    kinds.some((kind) => kind !== 'auto' && !checked.kinds.includes(kind)) ||
    (content && !checked.content) ||
    (keyring !== '' && keyring !== checked.keyring)
  );
}

/** The command that does that now. @param policy what is wanted, of which `settings` may remember a part. */
export function commandToCheck(root: string, settings: Settings, policy: CheckPolicy): string {
  const { check: remembered } = policyOf(settings, {});
  const { kinds, keyring, content } = policy;
  const words = [
    ...(kinds.join() === remembered.kinds.join() ? [] : kinds.flatMap((kind) => ['--check', kind])),
    ...(keyring === remembered.keyring
      ? []
      : keyring === ''
        ? ['--no-check-keyring']
        : ['--check-keyring', keyring]),
    ...(content === remembered.content ? [] : [content ? '--check-content' : '--no-check-content']),
  ];
  return `mirrorlatch check ${[root, ...words].map(quoteForSh).join(' ')}`;
}
