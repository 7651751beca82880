#!/bin/sh
# sh reader.sh DIRECTORY FILES TIMES PAUSE: reads all of the snapshot MIRRORLATCH_ID in DIRECTORY as often as told, with
# a pause of so many seconds before each time, and compares it with what the writer put there. Ends with 1 and a
# sentence for each difference.
directory=$1 files=$2 times=$3 pause=$4 id=$MIRRORLATCH_ID wrong=0

# look NAME: whether the file is there and holds its own name.
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
