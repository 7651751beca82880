#!/bin/sh
# Does the same as reader.mjs the way a shell script does: enters `current` once, then reads the files.
#
#   sh reader.sh ROOT FILES
root=$1 files=$2 reads=0 torn='' ending=
trap 'ending=1' TERM

while [ -z "$ending" ]; do
  if cd -P "$root/current"; then
    first= file=0
    while [ "$file" -lt "$files" ]; do
      name=file-$file
      [ $((file % 2)) = 0 ] || name=below/$name
      generation=
      read -r generation <"$name" || generation='nothing'
      [ "$file" != 0 ] || first=$generation
      [ "$generation" = "$first" ] || torn="$torn,\"$PWD is a mix of $first and $generation\""
      file=$((file + 1))
    done
  else
    torn="$torn,\"current cannot be entered\""
  fi
  reads=$((reads + 1))
  [ $((reads % 100)) != 0 ] || echo "$reads reads"
done
printf '{"reads":%s,"overtaken":0,"torn":[%s]}\n' "$reads" "${torn#,}"
