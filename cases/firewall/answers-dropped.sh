#!/bin/bash
# What comes in is let in, and the answer is not let out.
# asks: portwise reach 10.77.1.1:25 --from 10.77.1.2%v1
# first: silent
# first: inet strict out policy
# first: ct state established,related accept
. "$(dirname "$0")/../lib.sh"
netns HOST CLIENT
veth $HOST $CLIENT
rules $HOST <<'N'
table inet strict {
  chain out {
    type filter hook output priority filter; policy drop;
    oif lo accept
  }
}
N
serve $HOST 0 tcp 0.0.0.0 25
served() { gets $CLIENT 10.77.1.1 25; }
ask $HOST
