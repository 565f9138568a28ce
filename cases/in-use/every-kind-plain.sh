#!/bin/bash
# The same as every-kind, asked by an ordinary user: what is hidden is said, nothing is called free or nobody's.
# asks: for port in 9001 9002 9004 9006 9007 9008 9009 9010 9011 $CLIENT; do setpriv --reuid=65534 --regid=65534 --clear-groups portwise why $port -4; echo "status $?"; done; setpriv --reuid=65534 --regid=65534 --clear-groups portwise list --all
# says: 127.0.0.1:9002/tcp bound, not listening: the address asked for covers 127.0.0.1 too it belongs to root (uid 0); I cannot see the holder
# says: 127.0.0.1:9007/tcp listening: the address asked for covers 127.0.0.1 too it belongs to root (uid 0); I cannot see the holder
# says: it belongs to uid 1234; I cannot see the holder
# says: stop the program that holds the port: root can see which
# says: (hidden from you)
# says: `sudo portwise list` shows more
# not: nobody holds
# not: status 0
# not: status 2
# not: no process
. "$(dirname "$0")/every-kind.sh"
