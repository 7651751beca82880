import { readdirSync, readFileSync } from 'node:fs';

/** One Markdown file per topic. The path is valid from `src`, `dist` and the bundle. */
const directory = new URL('../manual/', import.meta.url);

export interface Topic {
  /** As in `mirrorlatch help NAME` and `man mirrorlatch-NAME`. */
  name: string;
  /** The heading of the file. */
  title: string;
  /** Markdown. */
  text: string;
}

/** All topics of the manual, sorted by name. */
export function readTopics(): Topic[] {
  return readdirSync(directory)
    .filter((file) => file.endsWith('.md'))
    .sort()
    .map((file) => {
      const text = readFileSync(new URL(file, directory), 'utf8');
      const title = /^# (.+)$/m.exec(text)?.[1] ?? '';
      return { name: file.slice(0, -'.md'.length), title, text };
    });
}
