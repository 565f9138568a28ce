#!/bin/bash
# private.sh STORY: runs a story where changes to /usr/bin are its own and gone at its end.
[ -n "${STORY_PRIVATE:-}" ] || STORY_PRIVATE=1 exec unshare -m --propagation private bash "$0" "$@"
unset STORY_PRIVATE
at=$(mktemp -d)
mount -t tmpfs none "$at" && mkdir "$at/up" "$at/work" &&
  mount -t overlay none /usr/bin -o "lowerdir=/usr/bin,upperdir=$at/up,workdir=$at/work" ||
  { echo "SKIP: no overlay"; rmdir "$at"; exit 77; }
bash "$1"
status=$?
umount -l /usr/bin "$at"
rmdir "$at"
exit $status
