import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import type { Repository } from './repository.ts';

/** A Python program that reads `[path, mark, version, module, content]` for each wheel as JSON. */
const makeWheels = `
import json, sys, zipfile
for path, mark, version, module, content in json.load(sys.stdin):
    info = f"{module}-{version}.dist-info"
    files = {
        f"{module}/generation": content,
        f"{info}/METADATA": f"Metadata-Version: 2.1\\nName: {module}\\nVersion: {version}\\nSummary: {mark}\\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    record = "".join(f"{name},,\\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
        wheel.writestr(f"{info}/RECORD", record)
`;

/** Wheels in a flat directory for `find-links`, and a simple index (PEP 503) with their hashes. */
export const pythonIndex: Repository = {
  name: 'python',
  programs: ['python3'],
  async make(directory, { mark, version, packages }) {
    const wheels = packages.map(({ name, content }) => {
      const module = name.replaceAll('-', '_');
      const file = `${module}-${version}-py3-none-any.whl`;
      return { name, module, file, path: join(directory, 'wheels', file), content };
    });
    mkdirSync(join(directory, 'wheels'));
    await execa('python3', ['-c', makeWheels], {
      input: JSON.stringify(
        wheels.map(({ path, module, content }) => [path, mark, version, module, content]),
      ),
    });
    for (const { name, file, path } of wheels) {
      const page = join(directory, 'simple', name);
      const hash = createHash('sha256').update(readFileSync(path)).digest('hex');
      mkdirSync(page, { recursive: true });
      writeFileSync(
        join(page, 'index.html'),
        `<!DOCTYPE html>\n<title>${mark}</title>\n<a href="../../wheels/${file}#sha256=${hash}">${file}</a>\n`,
      );
    }
  },
};
