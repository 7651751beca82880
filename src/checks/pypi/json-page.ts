import { posix } from 'node:path';
import { entryOf, latin1, readJson } from '../json.ts';
import { Malformed } from '../tree-files.ts';
import { follow } from './links.ts';
import { metadataOf, type OnPage, sumOf } from './release.ts';

/** What only an index has (PEP 691), see `readJson`. */
const VERSION = '$.meta.api-version';

/** @throws Malformed, also for an index that is cut off before it says what it is. */
export async function isJsonIndex(content: AsyncIterable<Buffer>): Promise<boolean> {
  let isOne = false;
  await readJson(content, [VERSION], () => {
    isOne = true;
  });
  return isOne;
}

/**
 * Reads a page of an index in JSON (PEP 691, PEP 700).
 *
 * @param name in the tree.
 * @throws Malformed
 */
export async function readJsonPage(
  content: AsyncIterable<Buffer>,
  name: string,
  onPage: OnPage,
): Promise<void> {
  let isOne = false;
  await readJson(content, [VERSION, '$.files.*', '$.projects.*'], ([list], value) => {
    if (list === 'meta') isOne = true;
    else if (list === 'files') readFile(value, name, onPage);
    else {
      const project = entryOf(value, 'name');
      if (typeof project !== 'string') throw new Malformed('it has a project without a name');
      onPage.project(latin1(project));
    }
  });
  if (!isOne) throw new Malformed('it does not say the version of its format');
}

function readFile(value: unknown, name: string, onPage: OnPage): void {
  const [url, size] = [entryOf(value, 'url'), entryOf(value, 'size')];
  if (typeof url !== 'string') throw new Malformed('it has a file without a URL');
  const link = follow(latin1(url), posix.dirname(name), undefined);
  if (link === undefined) return;
  onPage.file({
    link,
    size: typeof size === 'number' && Number.isSafeInteger(size) ? size : undefined,
    sum: sumOf(entryOf(value, 'hashes')),
    metadata: metadataOf(entryOf(value, 'core-metadata') ?? entryOf(value, 'dist-info-metadata')),
  });
}
