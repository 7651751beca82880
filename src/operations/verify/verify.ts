import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { asMirrorlatchError, MirrorlatchError } from '../../errors.ts';
import { currentId } from '../../mirror/current.ts';
import { readHistory } from '../../mirror/history/history.ts';
import { type Layout, LIVE } from '../../mirror/layout.ts';
import { openMirror } from '../../mirror/open.ts';
import { isOfPerson, snapshotIds } from '../../mirror/survey.ts';
import { policyOf } from '../../writer/policy.ts';
import { type HeldTree, holdTree, idNamed } from '../held-tree.ts';
import { Verification } from './verification.ts';
import type { VerifyOptions, VerifyResult } from './verified.ts';

/**
 * Compares trees with what was recorded of them when they were published, and, where that says nothing of the
 * content of a file, with what the repositories in them say. They are held meanwhile, as by any reader.
 *
 * @throws MirrorlatchError NO_MIRROR for a snapshot that is not there, BUSY behind the gate of an in-place
 *   mirror or for `record` while a sync runs, PERMISSION for another user than the mirror's.
 */
export async function verify(options: VerifyOptions): Promise<VerifyResult> {
  const { root, signal = new AbortController().signal } = options;
  const { layout, settings } = openMirror(root);
  const isProbed = (settings.probe ?? []).length > 0 || (settings.fileList ?? '') !== '';
  const work = mkdtempSync(join(tmpdir(), 'mirrorlatch-verify-'));
  const held: HeldTree[] = [];
  try {
    for (const id of wantedIds(layout, options)) held.push(holdTree(layout, id));
    const { check: policy } = policyOf(settings, {});
    const verification = new Verification(layout, options, {
      work,
      held,
      policy,
      isProbed,
      signal,
    });
    return await verification.run();
  } catch (error) {
    throw asMirrorlatchError(error, `${layout.root} cannot be verified`);
  } finally {
    for (const { lease } of held) lease.release();
    rmSync(work, { recursive: true, force: true });
  }
}

function wantedIds(layout: Layout, { id, all = false }: VerifyOptions): string[] {
  const current = currentId(layout);
  if (current === LIVE) {
    if (id === undefined || id === LIVE || id === 'current') return [LIVE];
  } else if (all) {
    if (id !== undefined)
      throw new MirrorlatchError('USAGE', 'either one snapshot is verified or all are');
    const isForeign = isOfPerson(layout, readHistory(layout));
    return snapshotIds(layout).filter((one) => !isForeign(one));
  }
  return [idNamed(layout, id)];
}
