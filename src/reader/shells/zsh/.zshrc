# The user's own start-up file, and a prompt that names the snapshot.
if [[ -n $mirrorlatch_users_zdotdir ]]; then ZDOTDIR=$mirrorlatch_users_zdotdir; else unset ZDOTDIR; fi
unset mirrorlatch_zdotdir mirrorlatch_users_zdotdir
[[ ! -f ${ZDOTDIR-$HOME}/.zshrc ]] || . "${ZDOTDIR-$HOME}/.zshrc"
PROMPT="($MIRRORLATCH_ID) $PROMPT"
