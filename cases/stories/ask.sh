#!/bin/bash
# What a story runs while its situation lasts: says what it hands out, answers $ASK, and if there is
# $FIX, types what that fix of the answer prints. $SERVED is a command that succeeds if clients are
# served as they should be: not before the fix, and behind it.
env | grep -E '^(PW_[A-Z0-9]+|DIR)='
echo "--- answer"
bash -c "$ASK" </dev/null
echo "--- status $?"
[ -n "${FIX:-}" ] || exit 0
if bash -c "$SERVED"; then echo "--- it works without a fix"; exit 0; fi
bash -c "$ASK --json" >"$DIR/answer.json"
/usr/bin/python3 - "$DIR/answer.json" "$FIX" >"$DIR/fix" <<'P'
import json, sys
fixes = [fix for answer in json.load(open(sys.argv[1]))["answers"] for fix in answer.get("fixes", [])]
print("\n".join([fix for fix in fixes if fix["commands"]][int(sys.argv[2]) - 1]["commands"]))
P
while read -r command; do
  bash -c "$command" </dev/null || { echo "--- failed: $command"; exit 0; }
done <"$DIR/fix"
if bash -c "$SERVED"; then echo "--- the fix works"; else echo "--- the fix does not help"; fi
