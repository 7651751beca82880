import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test, vi } from 'vitest';
import { KeptDecisions } from '../../../src/http/front/kept-decisions.ts';
import { eventually } from '../../support/eventually.ts';

test('A decision is kept for as long as it says, though the clock of the host is set back', async () => {
  let asked = 0;
  const server = createServer((_, response) => {
    asked += 1;
    response.writeHead(204, {
      'X-Mirrorlatch-Tree': '/tree',
      'X-Mirrorlatch-Snapshot': 'one',
      'Cache-Control': 'max-age=1',
    });
    response.end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  const decisions = new KeptDecisions(`127.0.0.1:${port}`, 60_000);
  const client = { name: 'm', address: '192.0.2.1', agent: 'apt', url: '/m/current/Release' };
  await decisions.about(client);
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() - 3_600_000 });
  onTestFinished(() => void vi.useRealTimers());
  await eventually(async () => {
    expect(await decisions.about(client)).toMatchObject({ snapshot: 'one' });
    expect(asked).toBe(2);
  });
});
