// node pin.mjs ROOT COMMAND [ARGUMENT]...: runs a command in the current snapshot, pinned by the library. Lets go of the
// snapshot itself as soon as the command has begun: the descriptor that it inherits holds it.
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
