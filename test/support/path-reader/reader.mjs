// Reads the same files through one path until SIGTERM, and then prints what it missed.
//
//   node reader.mjs DIRECTORY FILE...
//
// Each turn reads every file by its absolute path, then enters the directory and reads all files
// twice from there. Those must have the same content.

import { readFileSync } from 'node:fs';
import { chdir } from 'node:process';

const [directory, ...files] = process.argv.slice(2);
const missed = new Map();
const seen = new Set();
let isOver = false;
process.on('SIGTERM', () => {
  isOver = true;
});

function note(what) {
  missed.set(what, (missed.get(what) ?? 0) + 1);
}

function turn() {
  try {
    for (const file of files) readFileSync(`${directory}/${file}`);
    chdir(directory);
    const contents = new Set([...files, ...files].map((file) => readFileSync(file, 'utf8')));
    if (contents.size > 1) note(`a mix of ${[...contents].join(' and ')}`);
    for (const content of contents) seen.add(content);
  } catch (error) {
    note(error.message);
  }
  chdir('/');
}

function go() {
  for (let count = 0; count < 20; count += 1) turn();
  process.stdout.write('.');
  if (isOver) {
    process.stdout.write(
      `\n${JSON.stringify({ missed: Object.fromEntries(missed), seen: [...seen] })}\n`,
    );
  } else setImmediate(go);
}

go();
