#!/bin/sh
# Reads the whole generation twice while it is held, and tells both.
#
#   reader.sh SECONDS
first=$(cat -- file-* below/file-* 2>&1 | sort -u | tr '\n' ' ')
sleep "$1"
second=$(cat -- file-* below/file-* 2>&1 | sort -u | tr '\n' ' ')
echo "$first/ $second"
