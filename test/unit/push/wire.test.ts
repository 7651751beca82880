import { PassThrough, Readable } from 'node:stream';
import fc from 'fast-check';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { type Frame, Wire } from '../../../src/push/wire.ts';

interface Message {
  kind: string;
  text?: string;
}

/** The messages that the other end receives when the bytes arrive in pieces of these sizes. */
async function hear(pieces: Iterable<Buffer>): Promise<Frame<Message>[]> {
  const wire = new Wire<Message, Message>({
    input: Readable.from(pieces),
    output: new PassThrough().resume(),
    check: (value) => ({ record: value as Message }),
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
    check: (value) => ({ record: value as Message }),
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

test('messages arrive unchanged, however they are cut into pieces', async () => {
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

test('a message that is cut off ends the conversation, and no part of it is delivered', async () => {
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

describe('a line that is not a message', () => {
  test.each([
    'hello',
    'null',
    '{"kind":"text","bytes":1}',
    '{"kind":"data"}',
    '{"kind":"data","bytes":-1}',
    '{"kind":"data","bytes":0.5}',
    '{"kind":"data","bytes":1e9}',
    '{"kind":"data","bytes":"1"}',
  ])('ends the conversation: %s', async (line) => {
    await expect(hear([Buffer.from(`${line}\n`)])).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  test('is printed without control characters', async () => {
    const line = Buffer.from('\u001b[2Jhello\u0007\n');
    await expect(hear([line])).rejects.toThrow(/said " \[2Jhello "/);
  });

  test('is not kept in memory if it never ends', async () => {
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
  // The test controls the clock.
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
    onTestFinished(() => void vi.useRealTimers());
  });

  const startWire = () => {
    const input = new PassThrough();
    const onSilence = vi.fn();
    const output = new PassThrough().resume();
    const check = (value: unknown) => ({ record: value as Message });
    const wire = new Wire<Message, Message>({
      input,
      output,
      check,
      beatMs: 20,
      silenceMs: 300,
      onSilence,
    });
    onTestFinished(() => wire.close());
    return { input, frames: wire.frames(), onSilence };
  };

  test('counts as gone, once, when it is silent for too long', () => {
    const { onSilence } = startWire();
    vi.advanceTimersByTime(299);
    expect(onSilence).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1_000);
    expect(onSilence).toHaveBeenCalledOnce();
  });

  test('does not count as gone while it sends signs of life, or while its message is processed', async () => {
    const { input, frames, onSilence } = startWire();
    for (let sign = 0; sign < 4; sign += 1) {
      input.write('{"kind":"alive"}\n');
      await frames.next();
      // Asked for the next one, it has done its work on this one.
      const next = frames.next();
      vi.advanceTimersByTime(200);
      input.write('{"kind":"alive"}\n');
      await next;
    }
    vi.advanceTimersByTime(1_000);
    expect(onSilence).not.toHaveBeenCalled();
  });

  test('does not count as gone while a message comes in pieces', async () => {
    const { input, frames, onSilence } = startWire();
    const next = frames.next();
    for (const piece of ['{"kind":"data",', '"bytes":2}\n', 'a', 'b']) {
      vi.advanceTimersByTime(200);
      input.write(piece);
      await new Promise(setImmediate);
    }
    expect(onSilence).not.toHaveBeenCalled();
    expect((await next).value).toMatchObject({ payload: Buffer.from('ab') });
  });

  test('counts as gone, too, when it is silent after its message has been processed', async () => {
    const { input, frames, onSilence } = startWire();
    input.write('{"kind":"alive"}\n');
    await frames.next();
    vi.advanceTimersByTime(1_000);
    const next = frames.next();
    vi.advanceTimersByTime(299);
    expect(onSilence).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(onSilence).toHaveBeenCalledOnce();
    input.end();
    await next;
  });
});
