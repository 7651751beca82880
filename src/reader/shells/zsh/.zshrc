# Reads the user's own .zshrc, then puts the snapshot's id before the prompt. A name that some tree gives its directory
# must not become code there.
if [[ -n $mirrorlatch_users_zdotdir ]]; then ZDOTDIR=$mirrorlatch_users_zdotdir; else unset ZDOTDIR; fi
unset mirrorlatch_zdotdir mirrorlatch_users_zdotdir
[[ ! -f ${ZDOTDIR-$HOME}/.zshrc ]] || . "${ZDOTDIR-$HOME}/.zshrc"
mirrorlatch_id=${MIRRORLATCH_ID-${MIRRORLATCH_URL_ID-}}
PROMPT="(${mirrorlatch_id//[^A-Za-z0-9._+-]/?}) $PROMPT"
unset mirrorlatch_id
