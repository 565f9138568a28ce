#!/usr/bin/env bash
# Checks every citation of the rule registry against the sources it cites.
#
#   portwise explain --cites | lab/check-cites.sh --xnu GITDIR
#   lab/check-cites.sh --xnu GITDIR --edge apple-oss-distributions/xnu PATH NEEDLE ['xnu-*'] [--in FUNCTION]
#
# A line is ID REPO REV PATH FUNCTION NEEDLE, separated by tabs; FUNCTION `-` means anywhere in the
# file. The file must exist at the revision, define the function (or macro, table, type), and the
# needle must occur in its body, not in a comment. A seventh field `absent` asks for the opposite:
# what a feature says of the last version without it.
# Linux is read from Debian's linux-source packages, fetched into ~/.cache/portwise-cites; any other
# repository, xnu too, from a git directory (--git REPO=DIR, --xnu DIR or PORTWISE_XNU_GIT).
#
# Exit: 0 all found · 1 one is missing · 2 usage · 3 a source could not be had (printed as `not run`).
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
command -v python3 >/dev/null || { echo "not run: no python3 here"; exit 3; }
exec python3 -B "$here/cites" "$@"
