import { expect, test } from 'vitest';
import { proposeWithConfiguration, withPasteableCommands } from '../../../src/cli/proposals.ts';

test('proposed commands name the configuration, but none for another host', () => {
  proposeWithConfiguration('/etc/m.toml', ['explain', 'sync']);
  expect(withPasteableCommands('See: mirrorlatch explain debian')).toBe(
    'See: mirrorlatch --config /etc/m.toml explain debian',
  );
  for (const text of [
    "See: ssh -p 22 me@host 'mirrorlatch explain /srv/debian'",
    'See /opt/mirrorlatch sync',
    'The program mirrorlatch does',
  ])
    expect(withPasteableCommands(text)).toBe(text);
});
