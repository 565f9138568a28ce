#!/bin/bash
# Whether this host can reach another one: a rule of its own stops the packets, or they leave, and
# where they arrive is a namespace of this machine, where they may be stopped as well.
# asks: portwise reach 10.77.1.2:80; portwise reach 10.77.1.2:81; portwise reach 10.77.1.2:82; portwise reach 10.77.1.2:83
# first: leaves: this host, 10.77.1.1%lo
# first: by v1 for 0.0.0.0:80, pid $PID (python3) of --netns $B
# says: silent: this host, 10.77.1.1%lo why the rule inet own out handle
# says: nft insert rule inet own out tcp dport 81 accept
# says: it leaves for 10.77.1.2:82, and silent there (--netns $B): the rule inet theirs in handle
# says: it leaves for 10.77.1.2:83, and refused there (--netns $B): no tcp socket takes it
# not: no route | does not forward | left over
. "$(dirname "$0")/../lib.sh"
netns A B
veth $A $B
serve $B 0 tcp 0.0.0.0 80
server=$LAST
serve $B 0 tcp 0.0.0.0 81
serve $B 0 tcp 0.0.0.0 82
rules $A <<'N'
table inet own {
  chain out {
    type filter hook output priority filter;
    tcp dport 81 drop
  }
}
N
rules $B <<'N'
table inet theirs {
  chain in {
    type filter hook input priority filter;
    tcp dport 82 drop
  }
}
N
served() { gets $A 10.77.1.2 81; }
ask $A PID=$server B=$B
