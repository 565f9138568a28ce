#!/bin/bash
# The host lets nothing in, and the published port of a container is reached all the same.
# asks: portwise reach 10.77.1.1:6379 --from 10.77.1.2%v1
# first: forwarded
# first: DNAT
# first: 10.77.2.2:6379
# first: never input: the rules of inet guard incoming are not asked
# says: drop it in forward
# says: nft insert rule ip publish fw iifname v1 ip daddr 10.77.2.2 tcp dport 6379 drop
# says: publishing the port on 127.0.0.1
# says: pid $PID
. "$(dirname "$0")/../lib.sh"
netns HOST CLIENT BOX
veth $HOST $CLIENT
veth $HOST $BOX 2
tune $HOST net.ipv4.ip_forward=1
ip -n $CLIENT route add default via 10.77.1.1
ip -n $BOX route add default via 10.77.2.1
rules $HOST <<'N'
table inet guard {
  chain incoming {
    type filter hook input priority filter; policy drop;
    ct state established,related accept
  }
}
table ip publish {
  chain pre {
    type nat hook prerouting priority dstnat;
    fib daddr type local tcp dport 6379 dnat to 10.77.2.2:6379
  }
  chain fw {
    type filter hook forward priority filter; policy accept;
  }
}
N
serve $BOX 0 tcp 0.0.0.0 6379
sure OK "$(sock $CLIENT once tcp 10.77.1.1 6379)"
# Here the fix keeps clients out.
served() { ! gets $CLIENT 10.77.1.1 6379; }
ask $HOST PID=$LAST
