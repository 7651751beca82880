import { basename, join } from 'node:path';
import { shellFiles } from './script.ts';

/**
 * The command that opens a shell whose prompt names the snapshot it is pinned to.
 *
 * @param shell its path.
 * @param env the environment of the user.
 */
export function interactiveShell(shell: string, env: NodeJS.ProcessEnv): string[] {
  switch (basename(shell)) {
    case 'bash':
      return [shell, '--rcfile', join(shellFiles, 'bashrc')];
    case 'zsh':
      return [
        'env',
        `ZDOTDIR=${join(shellFiles, 'zsh')}`,
        `MIRRORLATCH_ZDOTDIR=${env['ZDOTDIR'] ?? ''}`,
        shell,
      ];
    case 'fish':
      return [shell, '--init-command', FISH_PROMPT];
    default:
      // POSIX sh expands parameters in PS1 each time it shows it.
      return ['env', 'PS1=($MIRRORLATCH_ID) $ ', shell];
  }
}

/** Functions of fish are loaded when they are called: the user's own prompt has to be there first. */
const FISH_PROMPT =
  'functions --query fish_prompt; and functions --copy fish_prompt mirrorlatch_users_prompt; ' +
  'function fish_prompt; printf "(%s) " $MIRRORLATCH_ID; ' +
  'functions --query mirrorlatch_users_prompt; and mirrorlatch_users_prompt; or printf "> "; end';
