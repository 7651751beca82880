import { basename, join } from 'node:path';
import { shellFiles } from './script.ts';

/**
 * The command that starts an interactive shell with the snapshot's id in its prompt.
 *
 * @param shell the path of the user's shell.
 * @param env the user's environment.
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
      // POSIX sh expands parameters in PS1 each time it prints the prompt (XCU 2.5.3).
      return ['env', IN_SH, shell];
  }
}

// biome-ignore lint/suspicious/noTemplateCurlyInString: it is the shell's
const IN_SH = 'PS1=(${MIRRORLATCH_ID-$MIRRORLATCH_URL_ID}) $ ';

/** Keeps a copy of the user's own prompt, which `functions --query` makes fish load first. */
const FISH_PROMPT =
  'functions --query fish_prompt; and functions --copy fish_prompt mirrorlatch_users_prompt; ' +
  'function fish_prompt; set -q MIRRORLATCH_ID; and printf "(%s) " $MIRRORLATCH_ID; ' +
  'or printf "(%s) " $MIRRORLATCH_URL_ID; ' +
  'functions --query mirrorlatch_users_prompt; and mirrorlatch_users_prompt; or printf "> "; end';
