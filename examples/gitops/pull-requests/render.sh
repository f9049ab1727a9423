#!/bin/sh
# Writes comment.md of each pull request, or of those that are named: sh render.sh [NAME...]
# Wants spillway[backtest] in PATH, or its command in SPILLWAY.
set -eu
cd "$(dirname "$0")"
if [ $# = 0 ]; then set -- class-to-own-gpus min-replicas-lowered new-gpu-type price-change data-policy-loosened; fi
for name; do
  status=0
  ${SPILLWAY:-spillway} diff "$name/base" "$name/head" --traffic traffic.csv.gz -o markdown --to "$name/comment.md" || status=$?
  # 3: a policy failed, which is what the comment says.
  if [ "$status" != 0 ] && [ "$status" != 3 ]; then exit "$status"; fi
  echo "$name/comment.md (exit status $status)"
done
