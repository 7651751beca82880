import { readdirSync, readFileSync } from 'node:fs';

/** One Markdown file a topic. The path holds in `src`, in `dist` and in its bundle. */
const directory = new URL('../manual/', import.meta.url);

export interface Topic {
  /** As in `mirrorlatch help NAME`, and `man mirrorlatch-NAME`. */
  name: string;
  /** What the topic is about, in a few words. */
  title: string;
  /** Markdown. */
  text: string;
}

/** Every topic of the manual, by name. */
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
