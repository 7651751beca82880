import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { serveTree } from '../../support/http/file-server.ts';
import { scratchDirectory } from '../../support/scratch.ts';

/** Makes a tree of files; a name that ends with a slash is a directory. */
function treeOf(files: Readonly<Record<string, string>>): string {
  const tree = join(scratchDirectory(), 'tree');
  mkdirSync(tree);
  for (const [name, content] of Object.entries(files)) {
    const path = join(tree, name);
    mkdirSync(name.endsWith('/') ? path : dirname(path), { recursive: true });
    if (!name.endsWith('/')) writeFileSync(path, content);
  }
  return tree;
}

test('A file is sent with the snapshot that it is out of, and may be asked for again', async () => {
  const { url } = await serveTree(treeOf({ 'dists/InRelease': 'Suite: stable\n' }));
  const first = await fetch(`${url}/dists/InRelease`);
  expect(await first.text()).toBe('Suite: stable\n');
  expect(Object.fromEntries(first.headers)).toMatchObject({
    'cache-control': 'no-cache',
    'content-length': '14',
    'content-type': 'text/plain; charset=utf-8',
    'x-mirrorlatch-snapshot': 'this-one',
    etag: expect.stringMatching(/^"[^"]+"$/),
  });
  const etag = first.headers.get('etag') ?? '';
  const again = await fetch(`${url}/dists/InRelease`, { headers: { 'if-none-match': etag } });
  expect(again.status).toBe(304);
});

test('A symlink is followed within the snapshot, and refused where it leads out of it', async () => {
  const tree = treeOf({ 'dists/trixie/Release': 'here' });
  symlinkSync('trixie', join(tree, 'dists/stable'));
  symlinkSync('/etc', join(tree, 'etc'));
  symlinkSync('nowhere', join(tree, 'dangling'));
  const { url } = await serveTree(tree);
  const statusOf = async (path: string) => (await fetch(`${url}/${path}`)).status;
  expect(await statusOf('dists/stable/Release')).toBe(200);
  expect(await statusOf('etc/passwd')).toBe(403);
  expect(await statusOf('etc')).toBe(403);
  expect(await statusOf('dangling')).toBe(404);
});
