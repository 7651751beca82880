#!/bin/sh
# Reads the whole snapshot MIRRORLATCH_ID in DIRECTORY TIMES times, with a pause of PAUSE seconds before each, and
# compares it with what the writer put there. Prints a sentence for each difference and exits with 1.
#
#   sh reader.sh DIRECTORY FILES TIMES PAUSE
directory=$1 files=$2 times=$3 pause=$4 id=$MIRRORLATCH_ID wrong=0

# look NAME: check that the file contains the id and its own name.
look() {
  content=
  read -r content <"$directory/$1"
  [ "$content" = "$id $1" ] || {
    wrong=1
    echo "$1 of $id holds '$content'" >&2
  }
}

while [ "$times" -gt 0 ]; do
  sleep "$pause"
  file=0
  while [ "$file" -lt "$files" ]; do
    if [ $((file % 2)) = 0 ]; then look "file-$file"; else look "below/file-$file"; fi
    file=$((file + 1))
  done
  look "only-in-$id"
  set -- "$directory"/only-in-*
  [ $# = 1 ] || {
    wrong=1
    echo "there are other generations in $id: $*" >&2
  }
  [ "$wrong" = 0 ] || break
  times=$((times - 1))
done
echo "$id"
exit "$wrong"
