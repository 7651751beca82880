// Publishes and prunes as fast as it can until its standard input ends. In the snapshot gN each file contains `gN` and
// its own name. Prints N after each publication.
//
//   node writer.mjs SOURCE ROOT FILES
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { prune, sync } from '../../../dist/index.js';

const [source = '', root = '', files = ''] = process.argv.slice(2);
const retention = { keepLast: 1, graceMs: 0 };
let generation = 0;
let isEnding = false;

process.stdin.resume().once('end', () => {
  isEnding = true;
});

mkdirSync(join(source, 'below'), { recursive: true });
while (!isEnding) {
  generation += 1;
  const id = `g${generation}`;
  for (let file = 0; file < Number(files); file += 1) {
    const name = file % 2 === 0 ? `file-${file}` : `below/file-${file}`;
    writeFileSync(join(source, name), `${id} ${name}\n`);
  }
  rmSync(join(source, `only-in-g${generation - 1}`), { force: true });
  writeFileSync(join(source, `only-in-${id}`), `${id} only-in-${id}\n`);
  const { outcome } = await sync({ source, root, id, retention });
  if (outcome !== 'published') throw new Error(`${id} was not published: ${outcome}`);
  await prune({ root, retention });
  console.log(generation);
}
