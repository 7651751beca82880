import { join } from 'node:path';
import { questionsOf } from '../../test/support/http/questions.ts';
import { type Publishing, tryWay } from '../../test/support/http/trial.ts';
import {
  amongNeighbours,
  apacheAlone,
  apacheGuarded,
  forgetfulWays,
  nginxAlone,
  nginxGuarded,
  serve,
  throughAptCacherNg,
  throughSquid,
  underRun,
  type Way,
} from '../../test/support/http/ways.ts';
import { missingOf } from '../../test/support/installed.ts';
import type { Client } from '../../test/support/repositories/client.ts';
import type { RepositoryMirror } from '../../test/support/repositories/mirror.ts';
import { figures, head, meanFlips, reportTrouble, row, say } from './print.ts';

/** What is tried. */
export interface HttpTable {
  readonly clients: readonly Client[];
  /** Whose generations have the same file names. */
  readonly mirror: RepositoryMirror;
  /** Whose generations have names of their own, as those of an archive. */
  readonly archive: RepositoryMirror;
  /** Which ways are tried. */
  readonly isWay: (name: string) => boolean;
  readonly runs: number;
  readonly publishing: readonly Publishing[];
  /** A directory for all files. */
  readonly work: string;
}

/** A way by which clients are tried. */
interface Course {
  readonly way: Way;
  readonly mirror: RepositoryMirror;
  readonly between?: string;
  /** Not with syncs that prune: what nobody holds any more is gone. */
  readonly onlyRetained?: boolean;
  /** The only client that it is for. */
  readonly only?: string;
}

/** Prints how clients fare that read the mirror by HTTP: the rows of each way when it has been tried. */
export async function printHttpTable({ clients, work, runs, ...table }: HttpTable): Promise<void> {
  const courses = await coursesOf(clients, work, table);
  head(['client, by HTTP', 'from', 'publications', 'ok / failed / mixed', 'publications in a run']);
  for (const publishing of table.publishing) {
    for (const course of courses) {
      if (publishing === 'syncs' && course.onlyRetained === true) continue;
      const some = clients.filter(({ name }) => name === (course.only ?? name));
      if (some.length === 0) continue;
      const { name, restMs } = course.way;
      const guarded = {
        keepsTroubled: true,
        onTrouble: (client: Client, account: string) => reportTrouble(name, client, account),
      };
      const isGuarded = restMs > 0 || name.startsWith('run');
      const options = { ...course, publishing, runs, work, ...(isGuarded ? guarded : {}) };
      for (const trial of await tryWay(some, options)) {
        const cells = [name, nameOf(publishing), figures(trial), meanFlips(trial)];
        row([trial.client.name, ...cells]);
      }
    }
  }
}

async function coursesOf(
  clients: readonly Client[],
  work: string,
  { mirror, archive, isWay }: Pick<HttpTable, 'mirror' | 'archive' | 'isWay'>,
): Promise<Course[]> {
  const questions = await questionsOf(clients, mirror, join(work, 'questions'));
  const besidesOthers = (way: Way) => amongNeighbours(way, questions);
  const ways = [
    ...[nginxAlone, apacheAlone, throughSquid(nginxAlone)],
    ...[serve, nginxGuarded, apacheGuarded],
    ...[serve, nginxGuarded, nginxAlone].map(underRun),
    ...[serve, nginxGuarded, apacheGuarded].map(throughSquid),
    ...[serve, nginxGuarded, apacheGuarded].map(besidesOthers),
  ];
  const forgetful = forgetfulWays.map((way) => ({
    way,
    mirror: archive,
    between: 'sleep 2',
    onlyRetained: true,
  }));
  // It keeps packages by name.
  const throughAptCacher = [nginxAlone, serve, nginxGuarded].map((way) => ({
    way: throughAptCacherNg(way),
    mirror: archive,
    only: 'apt',
  }));
  const courses: Course[] = [
    ...ways.map((way) => ({ way, mirror })),
    ...forgetful,
    ...throughAptCacher,
  ];
  const names = courses.map(({ way }) => way.name);
  const chosen = courses.filter(({ way }) => isWay(way.name));
  if (chosen.length === 0) throw new Error(`the ways are: ${names.join('; ')}`);
  return chosen.filter(({ way: { name, programs } }) => {
    const missing = missingOf(...programs);
    if (missing.length > 0) say(`${name} is skipped: ${missing.join(', ')} not installed`);
    return missing.length === 0;
  });
}

function nameOf(publishing: Publishing): string {
  return publishing === 'syncs' ? 'syncs that prune' : `a flip every ${publishing} ms`;
}
