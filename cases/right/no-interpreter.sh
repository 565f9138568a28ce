#!/bin/bash
# The script names an interpreter in a virtual environment that was removed.
# asks: portwise why 0.0.0.0:8080 -- $CMD
# first: ENOENT
# first: there is no $DIR/venv/bin/python3
# first: before any bind
# not: in use
. "$(dirname "$0")/../lib.sh"
netns A
printf '#!%s/venv/bin/python3\n' "$DIR" >"$DIR/app.py"
chmod 755 "$DIR/app.py"
ask $A CMD="$DIR/app.py"
