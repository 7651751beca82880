/** An archive that apt of this host reads by HTTP. */
export interface AptArchive {
  readonly url: string;
  readonly suites: readonly string[];
}

/** The archives in a file of one-line or deb822 style: sources.list(5). Pure. */
export function archivesIn(text: string): AptArchive[] {
  const suites = new Map<string, Set<string>>();
  const add = (url: string, names: readonly string[]) => {
    if (!/^https?:\/\/[A-Za-z0-9]/.test(url)) return;
    const known = suites.get(url) ?? new Set();
    for (const name of names) known.add(name);
    suites.set(url, known);
  };
  for (const line of text.split('\n')) {
    const [, url, suite] = /^\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)/.exec(line) ?? [];
    if (url !== undefined && suite !== undefined) add(url.replace(/\/+$/, ''), [suite]);
  }
  for (const stanza of text.split(/\n\s*\n/)) {
    const field = (name: string) =>
      new RegExp(`^${name}:[ \\t]*(.*)$`, 'im').exec(stanza)?.[1]?.trim().split(/\s+/) ?? [];
    for (const url of field('URIs')) add(url.replace(/\/+$/, ''), field('Suites'));
  }
  return [...suites].map(([url, names]) => ({ url, suites: [...names] }));
}
