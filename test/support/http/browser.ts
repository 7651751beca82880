import { spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { eventually } from '../eventually.ts';
import { makeScratch } from '../scratch.ts';

/** What a page looks like to the browser. */
interface Surroundings {
  /** CSS pixels. */
  readonly width: number;
  readonly isDark?: boolean;
  readonly isPrint?: boolean;
}

/** A headless Chromium. */
export interface Browser {
  /** Opens a page and returns once it is loaded. */
  open(url: string, surroundings: Surroundings): Promise<Page>;
  close(): Promise<void>;
}

export interface Page {
  /** The value of an expression in the page; the policy of the page does not hold for it. */
  evaluate<Value>(expression: string): Promise<Value>;
  /** What the browser complained of: blocked content and errors, a line each. */
  complaints(): readonly string[];
  /** All of the page, as PNG. */
  screenshot(): Promise<Buffer>;
}

/**
 * Starts Chromium and speaks the DevTools protocol with it over a pipe: messages of JSON, each ended by a NUL
 * (https://chromedevtools.github.io/devtools-protocol/).
 */
export function startBrowser(): Browser {
  const profile = makeScratch();
  const child = spawn(
    'chromium',
    [
      '--headless=new',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-dev-shm-usage',
      '--hide-scrollbars',
      '--remote-debugging-pipe',
      `--user-data-dir=${profile.path}`,
    ],
    // In a group of its own, which its helpers are in, too.
    { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'], detached: true },
  );
  const group = -(child.pid as number);
  const wire = new Wire(child.stdio[3] as Writable, child.stdio[4] as Readable);
  return {
    open: (url, surroundings) => openPage(wire, url, surroundings),
    close: async () => {
      process.kill(group, 'SIGKILL');
      // What has been killed may still be about to make a file.
      await eventually(() => profile.remove());
    },
  };
}

async function openPage(
  wire: Wire,
  url: string,
  { width, isDark = false, isPrint = false }: Surroundings,
): Promise<Page> {
  const { targetId } = await wire.send<{ targetId: string }>('Target.createTarget', {
    url: 'about:blank',
  });
  const { sessionId } = await wire.send<{ sessionId: string }>('Target.attachToTarget', {
    targetId,
    flatten: true,
  });
  const send = <Result>(method: string, params: object = {}): Promise<Result> =>
    wire.send<Result>(method, params, sessionId);
  const complaints: string[] = [];
  wire.on(sessionId, 'Log.entryAdded', ({ entry }) => {
    complaints.push((entry as { text: string }).text);
  });
  for (const domain of ['Page', 'Log', 'Runtime']) await send(`${domain}.enable`);
  const features = [{ name: 'prefers-color-scheme', value: isDark ? 'dark' : 'light' }];
  await send('Emulation.setEmulatedMedia', { media: isPrint ? 'print' : 'screen', features });
  const size = { width, height: 800, deviceScaleFactor: 1, mobile: width < 600 };
  await send('Emulation.setDeviceMetricsOverride', size);
  const loaded = new Promise<void>((resolve) =>
    wire.on(sessionId, 'Page.loadEventFired', () => resolve()),
  );
  await send('Page.navigate', { url });
  await loaded;
  return {
    evaluate: async <Value>(expression: string) => {
      const parameters = { expression, awaitPromise: true, returnByValue: true };
      const { result, exceptionDetails } = await send<{
        result: { value: Value };
        exceptionDetails?: object;
      }>('Runtime.evaluate', parameters);
      if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails));
      return result.value;
    },
    complaints: () => complaints,
    screenshot: async () => {
      const parameters = { captureBeyondViewport: true, format: 'png' };
      const { data } = await send<{ data: string }>('Page.captureScreenshot', parameters);
      return Buffer.from(data, 'base64');
    },
  };
}

type Listener = (params: Record<string, unknown>) => void;

interface Message {
  id?: number;
  sessionId?: string;
  method?: string;
  params?: Record<string, unknown>;
  result?: unknown;
  error?: { message: string };
}

/** Requests by their numbers, and events by the session that they are of. */
class Wire {
  readonly #to: Writable;
  readonly #waiting = new Map<number, (message: Message) => void>();
  readonly #listeners = new Map<string, Listener>();
  #rest = '';
  #last = 0;

  constructor(to: Writable, from: Readable) {
    this.#to = to;
    from.setEncoding('utf8').on('data', (chunk: string) => this.#read(chunk));
    from.on('close', () => {
      for (const settle of this.#waiting.values()) settle({ error: { message: 'it has ended' } });
    });
  }

  on(sessionId: string, method: string, listener: Listener): void {
    this.#listeners.set(`${sessionId} ${method}`, listener);
  }

  send<Result>(method: string, params: object, sessionId?: string): Promise<Result> {
    this.#last += 1;
    const id = this.#last;
    this.#to.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, ({ result, error }) => {
        this.#waiting.delete(id);
        if (error === undefined) resolve(result as Result);
        else reject(new Error(`Chromium: ${method}: ${error.message}`));
      });
    });
  }

  #read(chunk: string): void {
    const parts = (this.#rest + chunk).split('\0');
    this.#rest = parts.pop() ?? '';
    for (const part of parts) {
      const message = JSON.parse(part) as Message;
      if (message.id !== undefined) this.#waiting.get(message.id)?.(message);
      else this.#listeners.get(`${message.sessionId} ${message.method}`)?.(message.params ?? {});
    }
  }
}
