import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { accepts, freePort } from './daemon.ts';

/** A running server, and where it serves the tree. */
export interface WebServer {
  /** The URL of the tree, with a slash at its end. */
  readonly tree: string;
  /** The CPU time that it and its children have used, in milliseconds. */
  cpuMs(): number;
  /** The peak memory (VmHWM) of its largest process, in bytes. */
  peakBytes(): number;
  stop(): Promise<void>;
}

/** Servers have the first processor and clients the others, so that neither takes time from the other. */
const ON_SERVER_CORE = availableParallelism() > 1 ? ['taskset', '-c', '0'] : [];
export const ON_CLIENT_CORES = availableParallelism() > 1 ? ['taskset', '-c', '1-1023'] : [];

/** nginx that serves `root` at `/`, as fast as it does. */
export async function startBareNginx(scratch: string, root: string): Promise<WebServer> {
  const port = await freePort();
  const directory = join(scratch, 'bare-nginx');
  return await startNginx(
    directory,
    port,
    '',
    `server { listen 127.0.0.1:${port}; root ${root}; }`,
  );
}

/** nginx in front of a `mirrorlatch serve` of its own, with the configuration that this prints. */
export async function startNginxInFront(
  program: string,
  scratch: string,
  root: string,
  name: string,
): Promise<WebServer> {
  const port = await freePort();
  const directory = join(scratch, 'nginx-in-front');
  const socket = join(scratch, 'front.sock');
  const words = ['serve', `${root}=/${name}/`, '--listen', `unix:${socket}`];
  const printed = execFileSync(program, [...words, '--nginx-config'], { encoding: 'utf8' });
  const http = printed
    .replace(/^\s*listen \[::\]:80;$/m, '')
    .replace(/^(\s*listen) 80;$/m, `$1 127.0.0.1:${port};`)
    .replace(/^proxy_cache_path \S+/m, `proxy_cache_path ${directory}/cache`);
  const behind = start([program, ...words], 'ignore');
  while (behind.exitCode === null && !existsSync(socket)) await setTimeout(50);
  const front = await startNginx(directory, port, `${name}/current/`, http);
  return {
    ...front,
    stop: async () => {
      await front.stop();
      await stop(behind);
    },
  };
}

async function startNginx(
  directory: string,
  port: number,
  path: string,
  http: string,
): Promise<WebServer> {
  mkdirSync(directory);
  const configuration = join(directory, 'nginx.conf');
  const kinds = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  writeFileSync(
    configuration,
    `daemon off;
worker_processes 1;
pid nginx.pid;
events { worker_connections 1024; }
http {
  access_log off;
  error_log stderr crit;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
${kinds.map((kind) => `  ${kind}_temp_path ${kind};`).join('\n')}
${http}
}
`,
  );
  const words = ['nginx', '-p', `${directory}/`, '-c', configuration, '-e', 'stderr'];
  const child = start(words, 'ignore');
  while (child.exitCode === null && !(await accepts(port))) await setTimeout(50);
  if (child.exitCode !== null) throw new Error('nginx did not start');
  return serverOf(child, `http://127.0.0.1:${port}/${path}`);
}

/** `mirrorlatch serve`, without an access log, as nginx has none here. */
export async function startServe(program: string, root: string, name: string): Promise<WebServer> {
  const words = [program, 'serve', `${root}=/${name}/`, '--listen', '127.0.0.1:0', '--json'];
  const child = start(words, 'pipe');
  let said = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  while (child.exitCode === null && !said.includes('\n')) await setTimeout(50);
  if (child.exitCode !== null) throw new Error('mirrorlatch serve did not start');
  const { addresses } = JSON.parse(said.split('\n', 1)[0] ?? '') as { addresses: string[] };
  return serverOf(child, `${addresses[0]}/${name}/current/`);
}

function start(words: readonly string[], stdout: 'ignore' | 'pipe'): ChildProcess {
  const [file = '', ...args] = [
    'setpriv',
    '--pdeathsig',
    'TERM',
    '--',
    ...ON_SERVER_CORE,
    ...words,
  ];
  return spawn(file, args, { stdio: ['ignore', stdout, 'inherit'] });
}

function serverOf(child: ChildProcess, tree: string): WebServer {
  const pids = () => family(child.pid ?? 0);
  return {
    tree,
    cpuMs: () => sum(pids().map(cpuMsOf)),
    peakBytes: () => Math.max(...pids().map(peakBytesOf)),
    stop: () => stop(child),
  };
}

async function stop(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit');
  child.kill();
  if (child.exitCode === null && child.signalCode === null) await ended;
}

function family(pid: number): number[] {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean),
  );
  return [pid, ...children.flatMap((child) => family(Number(child)))];
}

/** The ticks of proc_pid_stat(5) are hundredths of a second on Linux. */
const TICK_MS = 10;

function cpuMsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

function peakBytesOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmHWM:\s*(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
