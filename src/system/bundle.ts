import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire, wrap } from 'node:module';
import { dirname } from 'node:path';
import { Script } from 'node:vm';

/** A CommonJS file of this program that has everything it needs in it. */
export interface Bundle {
  /** Runs it, as Node does with the file that it is started with. */
  run(): void;
  /** Keeps what V8 has compiled of it until now, for the next `compileBundle`. */
  keepCompiled(): void;
}

/**
 * Compiles the bundle at `path`, or takes what V8 compiled of it before, by this version of Node on a
 * processor of this kind. V8 would refuse what was compiled by another version of it, or under other
 * flags, but not what another processor's Node compiled.
 *
 * @param path absolute; the file is ASCII.
 */
export function compileBundle(path: string): Bundle {
  const cache = path.replace(/cjs$/, `node-${process.version}-${process.arch}.cache`);
  const cachedData = existsSync(cache) ? readFileSync(cache) : undefined;
  const source = wrap(readFileSync(path, 'latin1'));
  const script = new Script(source, { filename: path, cachedData });
  return {
    run: () => script.runInThisContext()({}, createRequire(path), {}, path, dirname(path)),
    keepCompiled: () => writeFileSync(cache, script.createCachedData()),
  };
}
