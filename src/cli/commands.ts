import type { Command } from 'commander';
import type { CommandContext } from './context.ts';

/** Loads a command, and returns the function that adds it to the program. */
export type LoadCommand = () => Promise<(program: Command, context: CommandContext) => void>;

/**
 * The commands, in the order of the help. A command line that names one loads only that one, because
 * loading all of them would double the start-up time.
 */
export const commands: Readonly<Record<string, LoadCommand>> = {
  init: async () => (await import('./commands/init.ts')).addInit,
  sync: async () => (await import('./commands/sync.ts')).addSync,
  lock: async () => (await import('./commands/lock.ts')).addLock,
  receive: async () => (await import('./commands/receive.ts')).addReceive,
  status: async () => (await import('./commands/status.ts')).addStatus,
  list: async () => (await import('./commands/list.ts')).addList,
  explain: async () => (await import('./commands/explain.ts')).addExplain,
  history: async () => (await import('./commands/history.ts')).addHistory,
  logs: async () => (await import('./commands/logs.ts')).addLogs,
  diff: async () => (await import('./commands/diff.ts')).addDiff,
  du: async () => (await import('./commands/du.ts')).addDu,
  promote: async () => (await import('./commands/promote.ts')).addPromote,
  verify: async () => (await import('./commands/verify.ts')).addVerify,
  check: async () => (await import('./commands/check.ts')).addCheck,
  rollback: async () => (await import('./commands/rollback.ts')).addRollback,
  prune: async () => (await import('./commands/prune.ts')).addPrune,
  pin: async () => (await import('./commands/pin.ts')).addPin,
  unpin: async () => (await import('./commands/pin.ts')).addUnpin,
  tag: async () => (await import('./commands/tag.ts')).addTag,
  unlock: async () => (await import('./commands/unlock.ts')).addUnlock,
  gate: async () => (await import('./commands/gate.ts')).addGate,
  run: async () => {
    const { addRun } = await import('./commands/run.ts');
    const loadRunByUrl = async () => (await import('./commands/run-by-url.ts')).runCommandByUrl;
    return (program, context) => addRun(program, context, loadRunByUrl);
  },
  'keep-proxy': async () => (await import('./commands/keep-proxy.ts')).addKeepProxy,
  reader: async () => (await import('./commands/reader.ts')).addReader,
  'shell-init': async () => (await import('./commands/shell-init.ts')).addShellInit,
  shims: async () => (await import('./commands/shims.ts')).addShims,
  current: async () => (await import('./commands/current.ts')).addCurrent,
  wait: async () => (await import('./commands/wait.ts')).addWait,
  watch: async () => (await import('./commands/watch.ts')).addWatch,
  serve: async () => (await import('./commands/serve.ts')).addServe,
  completion: async () => (await import('./commands/completion.ts')).addCompletion,
  complete: async () => {
    const { addComplete } = await import('./commands/complete.ts');
    return (program, context) => addComplete(program, context, loadInto(context));
  },
  doctor: async () => (await import('./commands/doctor.ts')).addDoctor,
  config: async () => (await import('./commands/config.ts')).addConfig,
  systemd: async () => (await import('./commands/systemd.ts')).addSystemd,
  cron: async () => (await import('./commands/cron.ts')).addCron,
  trigger: async () => (await import('./commands/trigger.ts')).addTrigger,
  notify: async () => (await import('./commands/notify.ts')).addNotify,
  help: async () => (await import('./commands/help.ts')).addHelp,
};

/** Adds the named command to a program, or all. */
function loadInto(context: CommandContext): (program: Command, name?: string) => Promise<void> {
  return async (program, name) => {
    const named = name !== undefined && Object.hasOwn(commands, name) ? [commands[name]] : [];
    for (const load of name === undefined ? Object.values(commands) : named)
      (await load?.())?.(program, context);
  };
}
