#!/bin/bash
# The host's own name is 127.0.1.1 in /etc/hosts, as Debian writes it, and the server listens on 127.0.0.1.
# asks: portwise reach app.test:8080
# first: app.test stands for 127.0.1.1 (/etc/hosts)
# first: refused
# first: pid $PID
# says: it takes only what is sent to 127.0.0.1, not to 127.0.1.1
. "$(dirname "$0")/../lib.sh"
private /etc
netns A
printf '127.0.0.1 localhost\n127.0.1.1 app.test\n' >/etc/hosts
serve $A 0 tcp 127.0.0.1 8080
sure ECONNREFUSED "$(sock $A once tcp 127.0.1.1 8080)"
ask $A PID=$LAST
