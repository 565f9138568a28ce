# What wg-quick does beside its rules: all but the tunnel's own packets take another table.
ip -n $HOST route add default via 10.77.2.2 dev v2 table 51820
ip -n $HOST rule add not fwmark 51820 table 51820
ip -n $HOST rule add table main suppress_prefixlength 0
tune $HOST net.ipv4.conf.all.src_valid_mark=1
