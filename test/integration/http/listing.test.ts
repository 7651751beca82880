import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { execa } from 'execa';
import { expect, onTestFinished, test } from 'vitest';
import { ask } from '../../support/http/ask.ts';
import { serveTree } from '../../support/http/file-server.ts';
import { startServe } from '../../support/http/serve.ts';
import { treeOf } from '../../support/http/tree-of.ts';
import { residentMegabytes } from '../../support/resident-memory.ts';
import { scratchDirectory } from '../../support/scratch.ts';

/** The bound of serve. */
const MOST_OF_CLIENT = 50;

const hrefsOf = (html: Buffer): string[] =>
  [...html.toString('latin1').matchAll(/href="([^"]*)"/g)].map(([, href = '']) => href);

test('A listing has a link to each entry that can be fetched, directories first', async () => {
  const tree = treeOf({
    'pool/b.deb': 'b',
    'pool/a.deb': 'a',
    'pool/main/x': 'x',
    'pool/.dot': '',
  });
  symlinkSync('main', join(tree, 'pool/stable'));
  symlinkSync('/etc', join(tree, 'pool/outside'));
  symlinkSync('nowhere', join(tree, 'pool/dangling'));
  execFileSync('mkfifo', [join(tree, 'pool/fifo')]);
  const server = await serveTree(tree);
  const { headers, body } = await ask(server, '/pool/');
  expect(headers['content-type']).toBe('text/html; charset=utf-8');
  expect(hrefsOf(body)).toEqual(['../', 'main/', '.dot', 'a.deb', 'b.deb', 'stable/']);
  for (const unlinked of ['outside', 'dangling', 'fifo']) {
    expect(body.toString()).toContain(`<td>${unlinked}</td>`);
  }
  const { body: top } = await ask(server, '/');
  expect(hrefsOf(top)).toEqual(['pool/']);
  expect((await ask(server, '/pool/', { method: 'HEAD' })).body).toHaveLength(0);
});

test('Every name leads to its file, whatever its bytes are', async () => {
  const names = [
    'a b',
    'a+b',
    'a%20b',
    'a?b',
    'a#b',
    'a&b;"c"',
    'x:y',
    '~',
    "'",
    '\\',
    'gr\xf6\xdfe',
    '\n',
  ];
  const tree = treeOf({});
  for (const name of names) writeFileSync(Buffer.from(`${tree}/${name}`, 'latin1'), name, 'latin1');
  const server = await serveTree(tree);
  const hrefs = hrefsOf((await ask(server, '/')).body);
  const contents = await Promise.all(
    hrefs.map(async (href) => (await ask(server, `/${href}`)).body.toString('latin1')),
  );
  expect(contents.sort()).toEqual([...names].sort());
});

test('A directory of many names is listed whole, and to many clients at a time', async () => {
  const count = 3000;
  const tree = treeOf({ 'many/': '' });
  for (let at = 0; at < count; at += 1) writeFileSync(join(tree, `many/file-${at}`), '');
  const server = await serveTree(tree);
  const answers = await Promise.all(Array.from({ length: 5 }, () => ask(server, '/many/')));
  for (const { body } of answers) {
    const hrefs = hrefsOf(body);
    expect(hrefs).toHaveLength(count + 1);
    expect(hrefs.slice(1)).toEqual([...hrefs.slice(1)].sort());
  }
  writeFileSync(join(tree, 'many/file-new'), '');
  expect(hrefsOf((await ask(server, '/many/')).body)).toContain('file-new');
});

test('A listing is cut off if its snapshot is moved away meanwhile, and with it the entries', async () => {
  const tree = treeOf({ 'many/': '' });
  for (let at = 0; at < 30_000; at += 1)
    writeFileSync(join(tree, `many/${'x'.repeat(200)}${at}`), '');
  const server = await serveTree(tree);
  const [answer] = (await once(get(`${server.url}/many/`), 'response')) as [IncomingMessage];
  renameSync(tree, `${tree}.removed`);
  await expect(text(answer)).rejects.toThrow('aborted');
  expect(server.failures).toEqual([expect.objectContaining({ code: 'IO' })]);
});

test('One client has so many listings at a time, and neither others nor files wait for them', async () => {
  const root = treeOf({ 'releases/1/many/': '', 'releases/1/few/one': '1' });
  symlinkSync('releases/1', join(root, 'current'));
  for (let at = 0; at < 30_000; at += 1)
    writeFileSync(join(root, `releases/1/many/${'x'.repeat(200)}${at}`), '');
  const server = await startServe([`${root}=/m/`]);
  onTestFinished(async () => void (await server.stop()));
  const many = '/m/current/many/';
  const begin = async () => {
    const [answer] = await once(get(`${server.address}${many}`, { agent: false }), 'response');
    return answer as IncomingMessage;
  };
  const begun = await Promise.all(Array.from({ length: MOST_OF_CLIENT }, begin));
  expect(begun.map(({ statusCode }) => statusCode)).toEqual(begun.map(() => 200));

  expect(await ask(server.address, many)).toMatchObject({
    status: 503,
    headers: { 'retry-after': '30' },
  });
  const elsewhere = { from: '127.0.0.2' };
  const few = await ask(server.address, '/m/current/few/', elsewhere);
  expect(hrefsOf(few.body)).toEqual(['../', 'one']);
  expect((await ask(server.address, '/m/current/few/one')).text).toBe('1');
  expect(residentMegabytes(server.pid)).toBeLessThan(120);

  for (const answer of begun) answer.on('error', () => {}).destroy();
  await expect
    .poll(async () => hrefsOf((await ask(server.address, many)).body).length, { timeout: 30_000 })
    .toBe(30_001);
});

test('wget -r fetches a tree by its listings', async () => {
  const tree = treeOf({ 'a b/c+d.txt': 'one', 'pool/x.deb': 'two', top: 'three' });
  const { url } = await serveTree(tree);
  const into = scratchDirectory();
  await execa('wget', ['-q', '-r', '-np', '-nH', '-e', 'robots=off', `${url}/`], { cwd: into });
  expect(readFileSync(join(into, 'a b/c+d.txt'), 'utf8')).toBe('one');
  expect(readFileSync(join(into, 'pool/x.deb'), 'utf8')).toBe('two');
  expect(readdirSync(join(into, 'pool')).sort()).toEqual(['index.html', 'x.deb']);
  expect(existsSync(join(into, 'top'))).toBe(true);
});
