# Reads .zshenv from the user's own ZDOTDIR, then lets zsh go on with the .zshrc beside this file.
mirrorlatch_zdotdir=$ZDOTDIR
if [[ -n ${MIRRORLATCH_ZDOTDIR-} ]]; then ZDOTDIR=$MIRRORLATCH_ZDOTDIR; else unset ZDOTDIR; fi
unset MIRRORLATCH_ZDOTDIR
[[ ! -f ${ZDOTDIR-$HOME}/.zshenv ]] || . "${ZDOTDIR-$HOME}/.zshenv"
mirrorlatch_users_zdotdir=${ZDOTDIR-}
ZDOTDIR=$mirrorlatch_zdotdir
