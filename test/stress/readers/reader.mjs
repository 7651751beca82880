// Reads whole snapshots until SIGTERM, each by resolving `current` once, and checks that its FILES files are of one
// generation. Pauses up to PAUSE ms before each file. Prints `N reads` at intervals, and an account as JSON at the end.
//
//   node reader.mjs ROOT FILES PAUSE
import { readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate, setTimeout } from 'node:timers/promises';

const [root = '', files = '', longestPauseMs = ''] = process.argv.slice(2);
const names = Array.from({ length: Number(files) }, (_, file) =>
  file % 2 === 0 ? `file-${file}` : `below/file-${file}`,
);
const account = { reads: 0, overtaken: 0, torn: [] };
let isEnding = false;

process.once('SIGTERM', () => {
  isEnding = true;
});

while (!isEnding) {
  await readOnce();
  account.reads += 1;
  if (account.reads % 100 === 0) {
    console.log(`${account.reads} reads`);
    await setImmediate();
  }
}
console.log(JSON.stringify(account));

async function readOnce() {
  try {
    const link = readlinkSync(join(root, 'current'));
    const generations = new Set();
    for (const name of names) {
      if (longestPauseMs !== '0') await setTimeout(Math.random() * Number(longestPauseMs));
      generations.add(readFileSync(join(root, link, name), 'utf8').trim());
    }
    if (generations.size !== 1) tear(`${link} is a mix of ${[...generations].join(' and ')}`);
    if (readlinkSync(join(root, 'current')) !== link) account.overtaken += 1;
  } catch (error) {
    tear(String(error));
  }
}

function tear(sentence) {
  if (account.torn.length < 20) account.torn.push(sentence);
}
