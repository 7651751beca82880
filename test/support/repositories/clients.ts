import { missingOf } from '../installed.ts';
import { apt } from './apt.ts';
import type { Client } from './client.ts';
import { dnf } from './dnf.ts';
import { pacman } from './pacman.ts';
import { pipFindLinks, pipIndex } from './pip.ts';
import { zypper } from './zypper.ts';

/** All package managers that the tests run. */
export const clients: readonly Client[] = [apt, dnf, zypper, pacman, pipIndex, pipFindLinks];

/** The programs of a client and its repository that are not installed. */
export function missingPrograms({ programs, repository }: Client): string[] {
  return missingOf(...programs, ...repository.programs);
}
