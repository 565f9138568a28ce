#!/bin/bash
# A service of systemd that runs as a plain user wants port 80; its unit grants nothing.
# asks: portwise why 0.0.0.0:80 --pid $ASKER
# first: EACCES
# first: CAP_NET_BIND_SERVICE is missing
# says: AmbientCapabilities=CAP_NET_BIND_SERVICE
# says: /etc/systemd/system/$UNIT.d/low-port.conf
# says: systemctl restart $UNIT
# not: in use
. "$(dirname "$0")/../lib.sh"
private /etc
unit web
netns A
mkdir -p /etc/systemd/system
cp "$(readlink -f "$PY")" "$DIR/web"
cat >/etc/systemd/system/$UNIT <<U
[Service]
ExecStart=$DIR/web $DIR/sock.py
User=nobody
U
printf 'SOCK_ARGS="serve tcp 0.0.0.0 80"\n' >"$DIR/environment"
# What systemctl does with these two commands, as far as this unit goes; it knows no others.
stand_in systemctl <<D
#!/bin/bash
case "\$*" in
  daemon-reload) cat /etc/systemd/system/$UNIT /etc/systemd/system/$UNIT.d/*.conf >$DIR/loaded ;;
  "restart $UNIT")
    kill \$(cat $DIR/main) 2>/dev/null
    grants=()
    grep -qx AmbientCapabilities=CAP_NET_BIND_SERVICE $DIR/loaded &&
      grants=(--inh-caps=+net_bind_service --ambient-caps=+net_bind_service)
    # shellcheck disable=SC2046
    setpriv --reuid=nobody --regid=nogroup --clear-groups "\${grants[@]}" \\
      env "\$(sed 's/"//g' $DIR/environment)" \$(sed -n 's/^ExecStart=//p' $DIR/loaded) >/dev/null 2>&1 &
    echo \$! >$DIR/main
    # A service that fails at once is not started, says systemctl of one with Type=exec.
    sleep 0.7; kill -0 \$! ;;
  *) echo "systemctl: not known: \$*" >&2; exit 1 ;;
esac
D
at_exit() { kill "$(cat "$DIR/main")"; }
spawn $A $NOBODY "$DIR/web" "$DIR/sock.py"
in_unit $LAST
echo $LAST >"$DIR/main"
sleep 0.3
ask $A UNIT="$UNIT" ASKER=$LAST
