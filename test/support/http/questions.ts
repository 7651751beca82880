import { chmodSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Client, updateAndInstall } from '../repositories/client.ts';
import { Installation } from '../repositories/installation.ts';
import type { RepositoryMirror } from '../repositories/mirror.ts';
import type { Question } from './neighbours.ts';
import { nginxAlone } from './ways.ts';

/** Which of a client's questions are for a package. */
const PACKAGE = /\.(deb|rpm|tar|whl|tgz)$|_[^/]*$/;

/** nginx writes quotes and backslashes as `\xHH` (ngx_http_log_module, log_format). */
function unescapeLog(text: string): string {
  return text.replace(/\\x([0-9A-F]{2})/g, (_, code: string) =>
    String.fromCharCode(Number.parseInt(code, 16)),
  );
}

/** What clients ask for besides packages, as nginx logs it while each updates and installs once. */
export async function questionsOf(
  clients: readonly Client[],
  mirror: RepositoryMirror,
  directory: string,
): Promise<Question[]> {
  mkdirSync(directory, { recursive: true });
  chmodSync(directory, 0o755);
  const served = await nginxAlone.start(mirror, directory);
  for (const client of clients) {
    const installation = new Installation(client, served.access, directory);
    const { outcome, account } = await installation.run(updateAndInstall(client));
    if (outcome !== 'ok') throw new Error(account);
    installation.remove();
  }
  await served.stop();
  const lines = readFileSync(join(directory, 'access.log'), 'utf8').trimEnd().split('\n');
  return lines
    .map((line) => /"\S+ (\S+) [^"]*" \d+ "([^"]*)"/.exec(line))
    .map((match) => ({ path: match?.[1] ?? '', userAgent: unescapeLog(match?.[2] ?? '') }))
    .filter(({ path }) => path !== '' && !PACKAGE.test(path));
}
