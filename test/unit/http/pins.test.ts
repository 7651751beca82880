import { describe, expect, test } from 'vitest';
import { documentKind } from '../../../src/http/pins/entry-documents.ts';
import type { Hold } from '../../../src/http/pins/holds.ts';
import { Pins } from '../../../src/http/pins/pins.ts';
import { DEFAULT_PINS, type PinPolicy } from '../../../src/http/pins/run-rules.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
/** The decisions for a web server in front. */
const FRONT = { keepMs: 10 * MINUTE, quietMs: MINUTE, transferMs: 60 * MINUTE };

/** A client by the name of its address. */
const at = (address: string, agent = 'agent') => ({ address, agent });

/** A mirror whose snapshots are numbers, and a clock that the test turns. */
class World {
  now = 0;
  current = 1;
  readonly held = new Map<string, number>();
  /** The snapshots that are gone when the next process begins. */
  readonly removed = new Set<string>();
  readonly pins: Pins;

  constructor(policy: Partial<PinPolicy> = {}) {
    this.pins = new Pins(
      { ...DEFAULT_PINS, ...policy },
      async () => this.#hold(String(this.current)),
      () => this.now,
    );
  }

  #hold(id: string): Hold {
    this.held.set(id, (this.held.get(id) ?? 0) + 1);
    const release = () => {
      const left = (this.held.get(id) ?? 0) - 1;
      if (left === 0) this.held.delete(id);
      else this.held.set(id, left);
    };
    return { id, tree: `/snapshots/${id}`, release };
  }

  /** The snapshot of a request that is answered at once. */
  async ask(path: string, client = 'client'): Promise<string> {
    const { hold, end } = await this.pins.enter(at(client), { path, kind: documentKind(path) });
    end();
    return hold.id;
  }

  async decide(path: string): Promise<string> {
    const asked = { path, kind: documentKind(path) };
    return (await this.pins.decide(at('client'), asked, FRONT)).id;
  }

  /** Keeps a snapshot for a web server in front. */
  keep(id: string, ms: number): this {
    this.pins.keep(this.#hold(id), ms);
    return this;
  }

  /** Sweeps, and lets what follows from it happen. */
  async sweep(): Promise<void> {
    this.pins.sweep();
    await Promise.resolve();
  }

  after(ms: number): this {
    this.now += ms;
    return this;
  }

  /** Another process after this one, which takes up the runs. */
  async restart(policy: Partial<PinPolicy> = {}): Promise<World> {
    const next = new World(policy);
    Object.assign(next, { now: this.now, current: this.current });
    const hold = async (id: string) => (this.removed.has(id) ? undefined : next.#hold(id));
    await next.pins.recall(this.pins.records(), hold, (id) => new Error(`${id} is gone`));
    return next;
  }

  publish(): this {
    this.current += 1;
    return this;
  }
}

const RELEASE = 'dists/stable/InRelease';
const PACKAGE = 'pool/main/h/hello/hello_1_all.deb';

describe("a client's run", () => {
  test('sees one snapshot, whatever is published: update and install back to back', async () => {
    const world = new World();
    expect(await world.ask(RELEASE)).toBe('1');
    expect(await world.publish().ask('dists/stable/main/Packages.xz')).toBe('1');
    expect(
      await world
        .publish()
        .after(2 * MINUTE)
        .ask(PACKAGE),
    ).toBe('1');
  });

  test('begins with an entry document that it had before, after a gap', async () => {
    const world = new World();
    await world.ask(RELEASE);
    expect(
      await world
        .publish()
        .after(4 * SECOND)
        .ask(RELEASE),
    ).toBe('1');
    expect(await world.after(6 * SECOND).ask(RELEASE)).toBe('2');
  });

  test('goes on with an entry document that it did not have before, after a gap too', async () => {
    const world = new World();
    await world.ask(RELEASE);
    expect(await world.publish().after(MINUTE).ask('dists/testing/InRelease')).toBe('1');
  });

  test('that begins with any other path begins again with that: a script asks for its file every minute', async () => {
    const world = new World();
    expect(await world.ask('status.txt')).toBe('1');
    expect(await world.publish().after(MINUTE).ask('other.txt')).toBe('1');
    expect(await world.after(MINUTE).ask('status.txt')).toBe('2');
  });

  test('has no gap while an answer is being sent', async () => {
    const world = new World();
    await world.ask(RELEASE);
    const { end } = await world.pins.enter(at('client'), { path: PACKAGE, kind: 'content' });
    expect(await world.publish().after(MINUTE).ask(RELEASE)).toBe('1');
    end();
    expect(await world.after(6 * SECOND).ask(RELEASE)).toBe('2');
  });

  test('ends by its age only where it begins again, and not in the midst of two looks at one document', async () => {
    const world = new World();
    await world.ask(RELEASE);
    world.publish();
    for (let minute = 0; minute < 70; minute += 1) {
      expect(await world.after(MINUTE).ask(PACKAGE)).toBe('1');
    }
    // Another client behind the same address asks without a gap.
    expect(await world.after(SECOND).ask('dists/testing/InRelease')).toBe('1');
    expect(await world.after(SECOND).ask('dists/testing/InRelease')).toBe('1');
    expect(await world.after(SECOND).ask(RELEASE)).toBe('2');
  });

  test('ends when its client has been quiet', async () => {
    const world = new World();
    await world.ask(RELEASE);
    expect(
      await world
        .publish()
        .after(11 * MINUTE)
        .ask(PACKAGE),
    ).toBe('2');
  });

  test('ends at the limit of its age, whatever it asks for', async () => {
    const world = new World({ limitMs: 60 * MINUTE });
    await world.ask(RELEASE);
    world.publish();
    for (let minute = 1; minute < 60; minute += 1) {
      expect(await world.after(MINUTE).ask(PACKAGE)).toBe('1');
    }
    expect(await world.after(MINUTE).ask(PACKAGE)).toBe('2');
  });

  test('is that of its client alone', async () => {
    const world = new World();
    await world.ask(RELEASE, 'one');
    expect(await world.publish().ask(RELEASE, 'other')).toBe('2');
    expect(await world.ask(PACKAGE, 'one')).toBe('1');
  });
});

describe('the decisions for a web server in front', () => {
  test('stay the same when it asks again without a pause, and begin anew after one', async () => {
    const world = new World();
    expect(await world.decide(RELEASE)).toBe('1');
    expect(await world.publish().after(SECOND).decide(RELEASE)).toBe('1');
    expect(await world.after(2 * MINUTE).decide(PACKAGE)).toBe('1');
    expect(await world.after(2 * MINUTE).decide(RELEASE)).toBe('2');
  });

  test('stay the same when the old one ends in the middle of a run, until that is too old', async () => {
    const world = new World();
    await world.decide(RELEASE);
    world.publish();
    for (let minutes = 10; minutes < 60; minutes += 10) {
      expect(await world.after(10 * MINUTE).decide(RELEASE)).toBe('1');
    }
    expect(await world.after(10 * MINUTE).decide(RELEASE)).toBe('2');
  });

  test('begin anew with what the run began with, after a pause that is certain, be it an index or not', async () => {
    const world = new World();
    await world.decide(PACKAGE);
    expect(
      await world
        .publish()
        .after(2 * MINUTE)
        .decide(PACKAGE),
    ).toBe('2');
    // Ten of these minutes the web server may have gone by its decision.
    expect(
      await world
        .publish()
        .after(10.5 * MINUTE)
        .decide(PACKAGE),
    ).toBe('2');
    expect(await world.after(12 * MINUTE).decide(PACKAGE)).toBe('3');
  });

  test('stay the same for a client that took minutes for one file, and goes on with what it did not have before', async () => {
    const world = new World();
    await world.decide('');
    expect(
      await world
        .publish()
        .after(5 * MINUTE)
        .decide('b/'),
    ).toBe('1');
    expect(await world.after(5 * MINUTE).decide('c/InRelease')).toBe('1');
  });

  test('stay the same for the longest time of one file, and the web server keeps a decision', async () => {
    const world = new World();
    await world.decide('iso/');
    expect(
      await world
        .publish()
        .after(69 * MINUTE)
        .decide('iso/1.iso'),
    ).toBe('1');
    expect(await world.after(71 * MINUTE).decide('iso/2.iso')).toBe('2');
  });

  test('hold their snapshot as long as the web server may go by them', async () => {
    const world = new World();
    await world.decide(RELEASE);
    await world.after(69 * MINUTE).sweep();
    expect([...world.held]).toEqual([['1', 1]]);
    await world.after(2 * MINUTE).sweep();
    expect([...world.held]).toEqual([]);
  });
});

describe('the holds of the runs', () => {
  test('end when they are quiet, but not under an answer that is being sent', async () => {
    const world = new World();
    await world.ask(RELEASE, 'quiet');
    const { end } = await world.pins.enter(at('slow'), { path: PACKAGE, kind: 'content' });
    expect([...world.held]).toEqual([['1', 2]]);
    await world.after(20 * MINUTE).sweep();
    expect([...world.held]).toEqual([['1', 1]]);
    world.pins.close();
    expect([...world.held]).toEqual([['1', 1]]);
    end();
    await Promise.resolve();
    expect([...world.held]).toEqual([]);
  });

  test('are bounded by the number of clients: the quietest goes', async () => {
    const world = new World({ maxPins: 2 });
    for (const client of ['one', 'two']) await world.ask(RELEASE, client);
    await world.ask(PACKAGE, 'one');
    await world.publish().ask(RELEASE, 'three');
    expect([...world.held]).toEqual([
      ['1', 1],
      ['2', 1],
    ]);
    expect(await world.ask(PACKAGE, 'one')).toBe('1');
    expect(await world.ask(PACKAGE, 'two')).toBe('2');
  });

  test('of one network go before those of others, however many it has', async () => {
    const world = new World({ maxPins: 10, maxPinsOfNetwork: 5 });
    await world.ask(RELEASE, '192.0.2.1');
    world.publish();
    for (let agent = 0; agent < 100; agent += 1) {
      const client = at(`2001:db8::${agent.toString(16)}`, String(agent));
      (await world.pins.enter(client, { path: RELEASE, kind: 'entry' })).end();
    }
    expect([...world.held]).toEqual([
      ['1', 1],
      ['2', 5],
    ]);
    expect(await world.ask(PACKAGE, '192.0.2.1')).toBe('1');
  });

  test('of one site go before those of others, however many networks it has', async () => {
    const world = new World({ maxPins: 10 });
    await world.ask(RELEASE, '192.0.2.1');
    await world.ask(RELEASE, '192.0.2.2');
    world.publish();
    for (let network = 0; network < 100; network += 1) {
      await world.ask(RELEASE, `2001:db8:1:${network.toString(16)}::1`);
    }
    expect([...world.held]).toEqual([
      ['1', 2],
      ['2', 8],
    ]);
    expect(await world.ask(PACKAGE, '192.0.2.1')).toBe('1');
  });

  test('by which a web server in front goes outlive their runs', async () => {
    const world = new World({ maxPins: 1 });
    await world.decide(RELEASE);
    await world.publish().ask(RELEASE, 'other');
    await world.after(60 * MINUTE).sweep();
    expect(world.held.get('1')).toBe(1);
    await world.after(20 * MINUTE).sweep();
    expect([...world.held]).toEqual([]);
  });

  test('are bounded by the number of snapshots: the oldest may be pruned, and its run goes on', async () => {
    const world = new World({ maxSnapshots: 2 });
    for (const client of ['one', 'two', 'three', 'four']) {
      await world.ask(RELEASE, client);
      world.publish();
    }
    await world.sweep();
    expect([...world.held.keys()]).toEqual(['2', '3', '4']);
    const counts = new Map(['1', '2', '3', '4'].map((id) => [id, 1]));
    expect(world.pins.figures()).toEqual({ counts, oldestMs: 0 });
    expect(await world.after(SECOND).ask('dists/stable/main/Packages.xz', 'one')).toBe('1');
    await world.after(DEFAULT_PINS.quietMs).sweep();
    expect([...world.held]).toEqual([]);
  });

  test('for web servers alone are bounded, too: the one that would end first goes', async () => {
    const world = new World({ maxSnapshots: 2 });
    world
      .keep('1', 10 * MINUTE)
      .keep('2', MINUTE)
      .keep('3', 5 * MINUTE);
    await world.sweep();
    expect([...world.held.keys()]).toEqual(['1', '3']);
  });

  test('remember a bounded number of index documents: the run that has the most goes on without', async () => {
    const world = new World({ maxEntries: 4 });
    await world.ask(RELEASE);
    for (const path of ['a/InRelease', 'b/InRelease', 'c/InRelease', 'd/InRelease']) {
      await world.ask(path, 'greedy');
    }
    world.publish().after(MINUTE);
    expect(await world.ask('a/InRelease', 'greedy')).toBe('1');
    expect(await world.ask('dists/testing/InRelease')).toBe('1');
    expect(await world.after(MINUTE).ask(RELEASE)).toBe('2');
  });

  test('remember an index document by a long path', async () => {
    const world = new World();
    const path = `${'long/'.repeat(2000)}InRelease`;
    await world.ask(path);
    const [[entry = ''] = []] = [...world.pins.records().runs][0]?.entries ?? [];
    expect(entry.length).toBeLessThan(100);
    expect(await world.publish().after(MINUTE).ask(path)).toBe('2');
  });

  test('leave nothing behind where nothing could be held', async () => {
    let isBroken = true;
    const pins = new Pins(
      DEFAULT_PINS,
      async () => {
        if (isBroken) throw new Error('nothing there');
        return { id: '1', tree: '/', release: () => {} };
      },
      () => 0,
    );
    const asked = { path: RELEASE, kind: 'entry' } as const;
    await expect(pins.enter(at('client'), asked)).rejects.toThrow('nothing there');
    isBroken = false;
    expect((await pins.enter(at('client'), asked)).hold.id).toBe('1');
  });
});

describe('the runs of a process before', () => {
  test('go on: with an index that they did not have before, too', async () => {
    const world = new World();
    await world.ask(RELEASE);
    const next = await world.publish().after(MINUTE).restart();
    expect(await next.ask(PACKAGE)).toBe('1');
    expect(await next.after(MINUTE).ask('dists/testing/InRelease')).toBe('1');
    expect(await next.ask(RELEASE, 'other')).toBe('2');
    expect(next.pins.figures().oldestMs).toBe(2 * MINUTE);
  });

  test('do not take for their first path what they ask for after it', async () => {
    const world = new World();
    await world.ask(RELEASE);
    const next = await world.publish().restart({ maxEntries: 0 });
    await next.ask(PACKAGE);
    expect(await next.after(MINUTE).ask(PACKAGE)).toBe('1');
  });

  test('end when their client begins again', async () => {
    const world = new World();
    await world.ask(RELEASE);
    const next = await world.publish().after(MINUTE).restart();
    expect(await next.ask(RELEASE)).toBe('2');
  });

  test('are held for a web server in front, those that were forgotten as well', async () => {
    const world = new World({ maxPins: 1 });
    await world.decide(RELEASE);
    await world.publish().ask(RELEASE, 'other');
    const next = await world.after(60 * MINUTE).restart();
    await next.sweep();
    expect(next.held.get('1')).toBe(1);
    await next.after(20 * MINUTE).sweep();
    expect([...next.held]).toEqual([]);
  });

  test('keep the decision of a web server in front', async () => {
    const world = new World();
    await world.decide(RELEASE);
    const next = await world.publish().after(SECOND).restart();
    expect(await next.decide(RELEASE)).toBe('1');
    await next.after(60 * MINUTE).sweep();
    expect([...next.held]).toEqual([['1', 1]]);
  });

  test('fail where their snapshot is gone, until their client begins again', async () => {
    const world = new World();
    await world.ask(RELEASE, 'one');
    await world.publish().ask(RELEASE, 'two');
    world.removed.add('1');
    const next = await world.publish().restart();
    expect([...next.held.keys()]).toEqual(['2']);
    await expect(next.ask(PACKAGE, 'one')).rejects.toThrow('1 is gone');
    await expect(next.ask(PACKAGE, 'one')).rejects.toThrow('1 is gone');
    expect(await next.after(MINUTE).ask(RELEASE, 'one')).toBe('3');
    expect(await next.ask(PACKAGE, 'two')).toBe('2');
  });

  test('are bounded by the limits of this process: the quietest are left out', async () => {
    const world = new World();
    for (const client of ['one', 'two', 'three']) {
      await world.ask(RELEASE, client);
      world.publish().after(SECOND);
    }
    await world.ask(PACKAGE, 'one');
    expect([...(await world.restart({ maxPins: 2 })).held.keys()].sort()).toEqual(['1', '3']);
    expect([...(await world.restart({ maxSnapshots: 1 })).held.keys()].sort()).toEqual(['2', '3']);
    const few = await world.restart({ maxEntries: 0 });
    expect(await few.after(MINUTE).ask(RELEASE, 'one')).toBe('1');
  });

  test('end in time, whatever is written of them', async () => {
    const world = new World();
    const hold = async (id: string) => ({ id, tree: '/', release: () => {} });
    const run = { address: 'client', agent: 'agent', id: '7', entries: [] };
    const times = { startedAt: 1e9, lastAt: 1e9, keptUntil: 1e99 };
    const kept = [{ id: '6', until: 1e99 }];
    await world.pins.recall({ runs: [{ ...run, ...times }], kept }, hold, () => new Error());
    expect(await world.ask(PACKAGE)).toBe('7');
    await world.after(25 * 60 * MINUTE).sweep();
    expect(await world.ask(PACKAGE)).toBe('1');
    const { kept: left } = world.pins.records();
    expect([...left]).toEqual([]);
  });
});
