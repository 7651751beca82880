import { PassThrough, Readable } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { type Frame, Wire } from '../../../src/push/wire.ts';

interface Message {
  kind: string;
  text?: string;
}

/** What the other end hears of what is said in pieces of these sizes. */
async function hear(pieces: Iterable<Buffer>): Promise<Frame<Message>[]> {
  const wire = new Wire<Message, Message>({
    input: Readable.from(pieces),
    output: new PassThrough().resume(),
    check: (value) => value as Message,
  });
  const heard: Frame<Message>[] = [];
  try {
    for await (const frame of wire.frames()) heard.push(frame);
    return heard;
  } finally {
    await wire.close();
  }
}

async function said(frames: readonly Frame<Message>[]): Promise<Buffer> {
  const output = new PassThrough();
  const wire = new Wire<Message, Message>({
    input: Readable.from([]),
    output,
    check: (value) => value as Message,
  });
  for (const { message, payload } of frames) {
    await wire.send(message, message.kind === 'data' ? payload : undefined);
  }
  const bytes: Buffer = output.read() ?? Buffer.alloc(0);
  await wire.close();
  return bytes;
}

function* cut(bytes: Buffer, sizes: readonly number[]): Generator<Buffer> {
  let at = 0;
  for (const size of sizes) {
    if (at < bytes.length) yield bytes.subarray(at, at + size);
    at += size;
  }
  if (at < bytes.length) yield bytes.subarray(at);
}

const frame = fc.oneof(
  fc.string({ unit: 'grapheme' }).map((text) => ({
    message: { kind: 'text', text },
    payload: Buffer.alloc(0),
  })),
  fc.uint8Array({ maxLength: 300 }).map((payload) => ({
    message: { kind: 'data' },
    payload: Buffer.from(payload),
  })),
);

test('what is said is heard, however it is cut into pieces', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(frame, { maxLength: 6 }),
      fc.array(fc.integer({ min: 1, max: 40 })),
      async (frames, sizes) => {
        const bytes = await said(frames);
        expect(await hear(cut(bytes, sizes))).toEqual(frames);
      },
    ),
  );
});

test('what is cut off in the middle is the end, and nothing half is heard', async () => {
  const frames = [
    { message: { kind: 'text', text: 'one' }, payload: Buffer.alloc(0) },
    { message: { kind: 'data' }, payload: Buffer.from('some bytes') },
  ];
  const bytes = await said(frames);
  for (let length = 0; length < bytes.length; length += 1) {
    const heard = await hear([bytes.subarray(0, length)]);
    expect(frames.slice(0, heard.length)).toEqual(heard);
    expect(heard.length).toBeLessThan(2);
  }
});

describe('what is no message', () => {
  test.each([
    'hello',
    'null',
    '{"kind":"text","bytes":1}',
    '{"kind":"data"}',
    '{"kind":"data","bytes":-1}',
    '{"kind":"data","bytes":0.5}',
    '{"kind":"data","bytes":1e9}',
    '{"kind":"data","bytes":"1"}',
  ])('%s ends the conversation', async (line) => {
    await expect(hear([Buffer.from(`${line}\n`)])).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  test('is shown without what would move the cursor of a terminal', async () => {
    const line = Buffer.from('\u001b[2Jhello\u0007\n');
    await expect(hear([line])).rejects.toThrow(/said " \[2Jhello "/);
  });

  test('a line without end is not kept in memory', async () => {
    let given = 0;
    function* endless(): Generator<Buffer> {
      for (;;) {
        given += 1;
        yield Buffer.alloc(1024 * 1024, 'x');
      }
    }
    await expect(hear(endless())).rejects.toThrow(/it is too long/);
    expect(given).toBeLessThan(25);
  });
});

describe('the other end', () => {
  const startWire = (input: PassThrough) => {
    const onSilence = vi.fn();
    const output = new PassThrough().resume();
    const check = (value: unknown) => value as Message;
    const wire = new Wire<Message, Message>({
      input,
      output,
      check,
      beatMs: 20,
      silenceMs: 300,
      onSilence,
    });
    return { wire, onSilence };
  };

  test('counts as gone when it is silent for too long, once', async () => {
    const { wire, onSilence } = startWire(new PassThrough());
    await expect.poll(() => onSilence.mock.calls.length, { timeout: 5_000 }).toBe(1);
    await wire.close();
  });

  test('does not while it gives signs of life, nor while what it said is worked on', async () => {
    const input = new PassThrough();
    const { wire, onSilence } = startWire(input);
    const life = setInterval(() => input.write('{"kind":"alive"}\n'), 20);
    const frames = wire.frames();
    const end = performance.now() + 600;
    while (performance.now() < end) await frames.next();
    clearInterval(life);
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(onSilence).not.toHaveBeenCalled();
    await wire.close();
  });
});
