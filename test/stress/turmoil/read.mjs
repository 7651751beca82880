// Does the same as read.sh in Node.
//
//   node read.mjs DIRECTORY SECONDS
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

const [directory = '', seconds = ''] = process.argv.slice(2);
const read = (path) => readFileSync(`${directory}/${path}`);
const index = read('zz/index').toString();
await pause(Number(seconds) * 1_000);
const [generation, ...sums] = index.trimEnd().split('\n');
const wrong = sums.filter((line) => {
  const [sum, file = ''] = line.split('  ');
  return createHash('sha256').update(read(file)).digest('hex') !== sum;
});
if (read('zz/index').toString() !== index) wrong.push('the index is another now');
console.log(wrong.length === 0 ? `whole ${generation}` : wrong.join('\n'));
