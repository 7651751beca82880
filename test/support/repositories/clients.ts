import { missingOf } from '../installed.ts';
import { apt } from './apt.ts';
import type { Client } from './client.ts';
import { curl } from './curl.ts';
import { dnf } from './dnf.ts';
import { npm } from './npm.ts';
import { pacman } from './pacman.ts';
import { pipFindLinks, pipIndex } from './pip.ts';
import { wget } from './wget.ts';
import { zypper } from './zypper.ts';

/** All package managers that read a mirror by its path. */
export const clients: readonly Client[] = [apt, dnf, zypper, pacman, pipIndex, pipFindLinks];

/** All clients that read a mirror over HTTP. */
export const httpClients: readonly Client[] = [...clients, npm, curl, wget];

/** The programs of a client and its repository that are not installed. */
export function missingPrograms({ programs, repository }: Client): string[] {
  return missingOf(...programs, ...repository.programs);
}
