/** A fault of rsync that a mirror meets. */
export interface Hole {
  /** Versions from here on have it; all if undefined. */
  since?: readonly number[];
  mendedIn: readonly number[];
  what: string;
  /** By which a distribution says that it has mended it in an older version. */
  cve?: string;
}

/** Those that reach who syncs from another's server, the newest first (NEWS.md of rsync). */
const HOLES: readonly Hole[] = [
  {
    mendedIn: [3, 5, 0],
    what: 'a server that lies can have it delete what it should not (CVE-2026-53789)',
    cve: 'CVE-2026-53789',
  },
  {
    mendedIn: [3, 5, 0],
    what: 'a server that lies can have it write beyond its memory (CVE-2026-70458)',
    cve: 'CVE-2026-70458',
  },
  {
    mendedIn: [3, 4, 3],
    what: 'a server that lies can have it read or write beyond its memory (CVE-2026-43618, CVE-2026-43620)',
    cve: 'CVE-2026-43618',
  },
  { since: [3, 4, 0], mendedIn: [3, 4, 1], what: '-H, for hard links, fails with other options' },
  {
    mendedIn: [3, 4, 0],
    what: 'a server that lies can have it write outside of its target (CVE-2024-12087)',
    cve: 'CVE-2024-12087',
  },
  { since: [3, 2, 5], mendedIn: [3, 2, 6], what: 'it rejects names that were asked for' },
  {
    mendedIn: [3, 2, 5],
    what: 'a server can have it write files that were not asked for (CVE-2022-29154)',
    cve: 'CVE-2022-29154',
  },
];

/** @param changes what the distribution says that it has changed. */
export function openHoles(version: readonly number[], changes: string): Hole[] {
  return HOLES.filter(
    ({ since = [], mendedIn, cve }) =>
      !isOlder(version, since) &&
      isOlder(version, mendedIn) &&
      (cve === undefined || !changes.includes(cve)),
  );
}

/** The first version in a text: `3.2.7`. */
export function versionIn(text: string): number[] | undefined {
  return /(\d+)\.(\d+)\.(\d+)/.exec(text)?.slice(1).map(Number);
}

export function isOlder(version: readonly number[], than: readonly number[]): boolean {
  const by = than.map((wanted, at) => (version[at] ?? 0) - wanted).find((apart) => apart !== 0);
  return (by ?? 0) < 0;
}
