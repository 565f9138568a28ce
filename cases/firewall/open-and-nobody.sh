#!/bin/bash
# The port is closed twice over: the firewall drops it, and nobody listens behind it.
# asks: portwise reach 10.77.1.1:8080 --from 10.77.1.2%v1
# first: silent
# first: no rule is the only reason
# first: no tcp socket takes what is sent to 10.77.1.1:8080
# not: accept
. "$(dirname "$0")/../lib.sh"
netns HOST CLIENT
veth $HOST $CLIENT
rules $HOST <<'N'
table inet guard {
  chain incoming {
    type filter hook input priority filter; policy drop;
  }
}
N
ask $HOST
