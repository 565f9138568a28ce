#!/bin/bash
# The port is published by a container: docker-proxy holds it on the host and passes connections on.
# asks: portwise why 0.0.0.0:8080
# first: EADDRINUSE
# first: pid $PID
# first: passes connections on to 172.17.0.2:80
# says: docker stop $(docker ps -q --filter publish=8080/tcp)
# not: kill
. "$(dirname "$0")/../lib.sh"
netns A
cat >"$DIR/proxy.py" <<'P'
import os, socket, sys, time
open("/proc/self/comm", "w").write("docker-proxy")
s = socket.socket()
s.bind(("0.0.0.0", 8080))
s.listen()
open(os.environ["READY"], "w")
time.sleep(190)
P
READY=$DIR/ready/proxy spawn $A bash -c "exec -a /usr/bin/docker-proxy $PY $DIR/proxy.py -proto tcp -host-ip 0.0.0.0 -host-port 8080 -container-ip 172.17.0.2 -container-port 80"
wait_for "$DIR/ready/proxy"
# What Docker does with these two commands, as far as sockets go; it knows no others.
stand_in docker <<D
#!/bin/bash
case "\$*" in
  "ps -q --filter publish=8080/tcp") kill -0 $LAST 2>/dev/null && echo 3f1c5b0a9d27 ;;
  "stop 3f1c5b0a9d27") kill $LAST && echo 3f1c5b0a9d27 ;;
  "start 3f1c5b0a9d27") echo 3f1c5b0a9d27 ;;
  *) echo "docker: not known: \$*" >&2; exit 125 ;;
esac
D
ask $A PID=$LAST
