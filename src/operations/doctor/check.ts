import { asMirrorlatchError } from '../../errors.ts';

/** `skipped`: there is nothing to look at here, or this user may not look. */
export type Verdict =
  | { state: 'ok' | 'skipped'; found: string }
  /** `remedy` says what to do; a command in it can be pasted. */
  | { state: 'warning' | 'bad'; found: string; remedy: string };

/** One look at one thing. */
export interface Check<Subject> {
  readonly title: string;
  look(subject: Subject): Verdict | Promise<Verdict>;
}

/** What a check found. */
export interface Examination {
  title: string;
  state: Verdict['state'];
  found: string;
  /** What to do; null if nothing is to be done. */
  remedy: string | null;
}

export const ok = (found: string): Verdict => ({ state: 'ok', found });
export const skipped = (found: string): Verdict => ({ state: 'skipped', found });
export const warning = (found: string, remedy: string): Verdict => ({
  state: 'warning',
  found,
  remedy,
});
export const bad = (found: string, remedy: string): Verdict => ({ state: 'bad', found, remedy });

/** Looks at everything, one after the other. A check that fails is a finding, too. */
export async function examine<Subject>(
  checks: readonly Check<Subject>[],
  subject: Subject,
): Promise<Examination[]> {
  const examinations: Examination[] = [];
  for (const { title, look } of checks) {
    const verdict = await verdictOf(() => look(subject));
    examinations.push({ title, remedy: null, ...verdict });
  }
  return examinations;
}

/** What a check says, or what kept it from looking. */
async function verdictOf(look: () => Verdict | Promise<Verdict>): Promise<Verdict> {
  try {
    return await look();
  } catch (error) {
    const known = asMirrorlatchError(error, 'this cannot be looked at');
    return known.code === 'PERMISSION' ? skipped(known.message) : refusal(known);
  }
}

/** `bad` if what a command would refuse to work with is there. */
export function unlessRefused(refuse: () => void, found: string): Verdict {
  try {
    refuse();
    return ok(found);
  } catch (error) {
    return refusal(error);
  }
}

function refusal(error: unknown): Verdict {
  const { message, hint } = asMirrorlatchError(error);
  return bad(message, hint ?? 'Its message says what to look at.');
}
