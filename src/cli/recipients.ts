import type { ConfiguredMirror } from '../config/configuration.ts';
import type { MirrorTable } from '../config/schema.ts';
import { asMirrorlatchError, type MirrorlatchError } from '../errors.ts';
import type { Recipients } from '../notices/deliver.ts';

/** Who is told of a mirror; undefined if nobody is. */
export function recipientsOf(table: MirrorTable): Recipients | undefined {
  const to = {
    mail: table['notify-mail'] ?? [],
    webhooks: table['notify-webhook'] ?? [],
    systemd: table['notify-systemd'] ?? false,
  };
  return to.mail.length + to.webhooks.length > 0 || to.systemd ? to : undefined;
}

/**
 * Tells people how the sync of a mirror ended. If they cannot be told, the sync is what it was.
 *
 * @param onProblem called with each reason.
 * @param withMail false: leaves mail to a later `notify`.
 */
export async function tellPeople(
  mirror: ConfiguredMirror | undefined,
  onProblem: (message: string) => void,
  { withMail }: { withMail: boolean },
): Promise<void> {
  if (mirror === undefined) return;
  const { name, root, table } = mirror;
  const to = recipientsOf(table);
  if (to === undefined) return;
  const report = ({ message, hint }: MirrorlatchError) =>
    onProblem(hint === undefined ? message : `${message}. ${hint}`);
  try {
    const { notify } = await import('../notices/notify.ts');
    const { failed } = await notify({
      root,
      name,
      maxAgeMs: table['max-age'],
      to: withMail ? to : { ...to, mail: [] },
    });
    for (const problem of failed) report(problem);
  } catch (error) {
    report(asMirrorlatchError(error));
  }
}
