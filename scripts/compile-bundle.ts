/**
 * Runs a bundle once, and keeps what V8 compiled of it for its next start.
 *
 * Usage: compile-bundle BUNDLE [ARGUMENT...]
 */
import { resolve } from 'node:path';
import { compileBundle } from '../src/system/bundle.ts';
import { keepHeapSmall } from '../src/system/heap.ts';

keepHeapSmall();
const [node = '', , path = '', ...words] = process.argv;
process.argv = [node, path, ...words];
const bundle = compileBundle(resolve(path));
process.once('exit', bundle.keepCompiled);
bundle.run();
