// Runs a command in the current snapshot, pinned by the library. Releases its own pin as soon as the command has
// started, because the descriptor that the command inherits holds the snapshot.
//
//   node pin.mjs ROOT COMMAND [ARGUMENT]...
import { spawn } from 'node:child_process';
import { pin } from '../../../dist/index.js';

const [root = '', file = '', ...args] = process.argv.slice(2);
const { id, path, descriptor, release } = await pin({ root });
const command = spawn(file, args, {
  cwd: path,
  env: { ...process.env, MIRRORLATCH_ID: id },
  stdio: ['ignore', 'inherit', 'inherit', descriptor],
});
release();
command.once('exit', (code) => {
  process.exitCode = code ?? 1;
});
