#!/bin/sh
# Reads all files of the generation twice, with a pause of SECONDS between, and prints both results.
#
#   reader.sh SECONDS
first=$(cat -- file-* below/file-* 2>&1 | sort -u | tr '\n' ' ')
sleep "$1"
second=$(cat -- file-* below/file-* 2>&1 | sort -u | tr '\n' ' ')
echo "$first/ $second"
