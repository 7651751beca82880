import { expect, test } from 'vitest';
import { openHoles, versionIn } from '../../../src/operations/doctor/rsync-holes.ts';

const cvesOf = (version: string, changes = '') =>
  openHoles(versionIn(version) ?? [], changes).map(({ cve, what }) => cve ?? what);

test('an rsync has the holes that later versions mend', () => {
  expect(cvesOf('rsync  version 3.5.0  protocol version 32')).toEqual([]);
  expect(cvesOf('3.4.3')).toEqual(['CVE-2026-53789', 'CVE-2026-70458']);
  expect(cvesOf('3.2.4').at(-1)).toBe('CVE-2022-29154');
});

test('a fault of one version alone is told of that one', () => {
  expect(cvesOf('3.4.0')).toContain('-H, for hard links, fails with other options');
  expect(cvesOf('3.4.1').join()).not.toContain('-H');
  expect(cvesOf('3.3.0').join()).not.toContain('-H');
});

test('a hole is mended that the distribution names in its changes', () => {
  expect(cvesOf('3.4.3', 'Fix CVE-2026-53789 and CVE-2026-70458.')).toEqual([]);
  expect(cvesOf('3.4.3', 'Fix CVE-2026-53789.')).toEqual(['CVE-2026-70458']);
});
