# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_portwise_global_optspecs
    string join \n 4/ipv4 6/ipv6 as= pid= netns= on= has= facts= reuseaddr reuseport v6only dev= freebind j/json v/verbose q/quiet color= got= h/help V/version
end

function __fish_portwise_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_portwise_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_portwise_using_subcommand
    set -l cmd (__fish_portwise_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c portwise -n "__fish_portwise_needs_command" -l as -d 'Ask as a login process of this user, without capabilities unless it is root' -r
complete -c portwise -n "__fish_portwise_needs_command" -l pid -d 'Ask in place of this process: with its credentials, in its network namespace' -r
complete -c portwise -n "__fish_portwise_needs_command" -l netns -d 'Ask in this network namespace' -r
complete -c portwise -n "__fish_portwise_needs_command" -l on -d 'Ask another kernel, such as linux-6.12, macos-15, freebsd-15.0 or windows-11; with why, all: one line for each kernel' -r
complete -c portwise -n "__fish_portwise_needs_command" -l has -d 'With --on: an address that the host has, such as 192.0.2.10/24 or fe80::1/64%eth0' -r
complete -c portwise -n "__fish_portwise_needs_command" -l facts -d 'Take the facts from a file that `portwise facts -o FILE` wrote' -r -F
complete -c portwise -n "__fish_portwise_needs_command" -l dev -d 'The socket is bound to this interface (SO_BINDTODEVICE)' -r
complete -c portwise -n "__fish_portwise_needs_command" -l color -d 'When to colour: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c portwise -n "__fish_portwise_needs_command" -l got -d 'A program got this errno, by name or number: which rules could have given it' -r
complete -c portwise -n "__fish_portwise_needs_command" -s 4 -l ipv4 -d 'Only the IPv4 addresses of a name; for a bare port 0.0.0.0'
complete -c portwise -n "__fish_portwise_needs_command" -s 6 -l ipv6 -d 'Only the IPv6 addresses of a name; for a bare port ::'
complete -c portwise -n "__fish_portwise_needs_command" -l reuseaddr -d 'The socket has SO_REUSEADDR'
complete -c portwise -n "__fish_portwise_needs_command" -l reuseport -d 'The socket has SO_REUSEPORT'
complete -c portwise -n "__fish_portwise_needs_command" -l v6only -d 'The socket has IPV6_V6ONLY'
complete -c portwise -n "__fish_portwise_needs_command" -l freebind -d 'The socket has IP_FREEBIND'
complete -c portwise -n "__fish_portwise_needs_command" -s j -l json -d 'Answer in JSON'
complete -c portwise -n "__fish_portwise_needs_command" -s v -l verbose -d 'Say every rule tried, every fact and every source'
complete -c portwise -n "__fish_portwise_needs_command" -s q -l quiet -d 'Say less: why only its first line, check nothing but the exit status'
complete -c portwise -n "__fish_portwise_needs_command" -s h -l help -d 'Print help'
complete -c portwise -n "__fish_portwise_needs_command" -s V -l version -d 'Print version'
complete -c portwise -n "__fish_portwise_needs_command" -f -a "why" -d 'May it be bound, what stops it, who holds it, what it covers, what helps'
complete -c portwise -n "__fish_portwise_needs_command" -f -a "check" -d 'One line for each endpoint, and an exit status for scripts'
complete -c portwise -n "__fish_portwise_needs_command" -f -a "list" -d 'Every bound socket: what it covers, whom it is exposed to, who holds it'
complete -c portwise -n "__fish_portwise_needs_command" -f -a "free" -d 'The next free port for an address, family and options, printed bare for scripts'
complete -c portwise -n "__fish_portwise_needs_command" -f -a "explain" -d 'The page of a rule, what an address means, or the list of all rules'
complete -c portwise -n "__fish_portwise_needs_command" -f -a "fix" -d 'The changes that would allow it, numbered; with --apply one is made, and checked'
complete -c portwise -n "__fish_portwise_needs_command" -f -a "facts" -d 'What is known about this machine, where it was read, and what could not be'
complete -c portwise -n "__fish_portwise_needs_command" -f -a "reach" -d 'Where packets end: at which socket, at which rule of the firewall, or elsewhere'
complete -c portwise -n "__fish_portwise_needs_command" -f -a "doctor" -d 'What portwise can see here and what not, and settings that surprise'
complete -c portwise -n "__fish_portwise_needs_command" -f -a "completions" -d 'What makes bash, zsh or fish complete the command line'
complete -c portwise -n "__fish_portwise_needs_command" -f -a "try" -d 'Really bind, listen and connect, in a private copy of the network, beside the prediction'
complete -c portwise -n "__fish_portwise_needs_command" -f -a "trace" -d 'Start a program, and explain each bind, listen and connect of it that fails'
complete -c portwise -n "__fish_portwise_needs_command" -f -a "run" -d 'Start a program with just enough right to bind certain addresses and ports'
complete -c portwise -n "__fish_portwise_needs_command" -f -a "conform" -d 'Recorded scenarios replayed on the model or the running kernel, or random ones on both'
complete -c portwise -n "__fish_portwise_using_subcommand why" -l got -d 'A program got this errno, by name or number: which rules could have given it' -r
complete -c portwise -n "__fish_portwise_using_subcommand why" -l as -d 'Ask as a login process of this user, without capabilities unless it is root' -r
complete -c portwise -n "__fish_portwise_using_subcommand why" -l pid -d 'Ask in place of this process: with its credentials, in its network namespace' -r
complete -c portwise -n "__fish_portwise_using_subcommand why" -l netns -d 'Ask in this network namespace' -r
complete -c portwise -n "__fish_portwise_using_subcommand why" -l on -d 'Ask another kernel, such as linux-6.12, macos-15, freebsd-15.0 or windows-11; with why, all: one line for each kernel' -r
complete -c portwise -n "__fish_portwise_using_subcommand why" -l has -d 'With --on: an address that the host has, such as 192.0.2.10/24 or fe80::1/64%eth0' -r
complete -c portwise -n "__fish_portwise_using_subcommand why" -l facts -d 'Take the facts from a file that `portwise facts -o FILE` wrote' -r -F
complete -c portwise -n "__fish_portwise_using_subcommand why" -l dev -d 'The socket is bound to this interface (SO_BINDTODEVICE)' -r
complete -c portwise -n "__fish_portwise_using_subcommand why" -l color -d 'When to colour: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c portwise -n "__fish_portwise_using_subcommand why" -s 4 -l ipv4 -d 'Only the IPv4 addresses of a name; for a bare port 0.0.0.0'
complete -c portwise -n "__fish_portwise_using_subcommand why" -s 6 -l ipv6 -d 'Only the IPv6 addresses of a name; for a bare port ::'
complete -c portwise -n "__fish_portwise_using_subcommand why" -l reuseaddr -d 'The socket has SO_REUSEADDR'
complete -c portwise -n "__fish_portwise_using_subcommand why" -l reuseport -d 'The socket has SO_REUSEPORT'
complete -c portwise -n "__fish_portwise_using_subcommand why" -l v6only -d 'The socket has IPV6_V6ONLY'
complete -c portwise -n "__fish_portwise_using_subcommand why" -l freebind -d 'The socket has IP_FREEBIND'
complete -c portwise -n "__fish_portwise_using_subcommand why" -s j -l json -d 'Answer in JSON'
complete -c portwise -n "__fish_portwise_using_subcommand why" -s v -l verbose -d 'Say every rule tried, every fact and every source'
complete -c portwise -n "__fish_portwise_using_subcommand why" -s q -l quiet -d 'Say less: why only its first line, check nothing but the exit status'
complete -c portwise -n "__fish_portwise_using_subcommand why" -s h -l help -d 'Print help'
complete -c portwise -n "__fish_portwise_using_subcommand check" -l as -d 'Ask as a login process of this user, without capabilities unless it is root' -r
complete -c portwise -n "__fish_portwise_using_subcommand check" -l pid -d 'Ask in place of this process: with its credentials, in its network namespace' -r
complete -c portwise -n "__fish_portwise_using_subcommand check" -l netns -d 'Ask in this network namespace' -r
complete -c portwise -n "__fish_portwise_using_subcommand check" -l on -d 'Ask another kernel, such as linux-6.12, macos-15, freebsd-15.0 or windows-11; with why, all: one line for each kernel' -r
complete -c portwise -n "__fish_portwise_using_subcommand check" -l has -d 'With --on: an address that the host has, such as 192.0.2.10/24 or fe80::1/64%eth0' -r
complete -c portwise -n "__fish_portwise_using_subcommand check" -l facts -d 'Take the facts from a file that `portwise facts -o FILE` wrote' -r -F
complete -c portwise -n "__fish_portwise_using_subcommand check" -l dev -d 'The socket is bound to this interface (SO_BINDTODEVICE)' -r
complete -c portwise -n "__fish_portwise_using_subcommand check" -l color -d 'When to colour: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c portwise -n "__fish_portwise_using_subcommand check" -s 4 -l ipv4 -d 'Only the IPv4 addresses of a name; for a bare port 0.0.0.0'
complete -c portwise -n "__fish_portwise_using_subcommand check" -s 6 -l ipv6 -d 'Only the IPv6 addresses of a name; for a bare port ::'
complete -c portwise -n "__fish_portwise_using_subcommand check" -l reuseaddr -d 'The socket has SO_REUSEADDR'
complete -c portwise -n "__fish_portwise_using_subcommand check" -l reuseport -d 'The socket has SO_REUSEPORT'
complete -c portwise -n "__fish_portwise_using_subcommand check" -l v6only -d 'The socket has IPV6_V6ONLY'
complete -c portwise -n "__fish_portwise_using_subcommand check" -l freebind -d 'The socket has IP_FREEBIND'
complete -c portwise -n "__fish_portwise_using_subcommand check" -s j -l json -d 'Answer in JSON'
complete -c portwise -n "__fish_portwise_using_subcommand check" -s v -l verbose -d 'Say every rule tried, every fact and every source'
complete -c portwise -n "__fish_portwise_using_subcommand check" -s q -l quiet -d 'Say less: why only its first line, check nothing but the exit status'
complete -c portwise -n "__fish_portwise_using_subcommand check" -s h -l help -d 'Print help'
complete -c portwise -n "__fish_portwise_using_subcommand list" -l user -d 'Only what this user owns or has open' -r
complete -c portwise -n "__fish_portwise_using_subcommand list" -l watch -d 'Again and again, every N seconds' -r
complete -c portwise -n "__fish_portwise_using_subcommand list" -l as -d 'Ask as a login process of this user, without capabilities unless it is root' -r
complete -c portwise -n "__fish_portwise_using_subcommand list" -l pid -d 'Ask in place of this process: with its credentials, in its network namespace' -r
complete -c portwise -n "__fish_portwise_using_subcommand list" -l netns -d 'Ask in this network namespace' -r
complete -c portwise -n "__fish_portwise_using_subcommand list" -l on -d 'Ask another kernel, such as linux-6.12, macos-15, freebsd-15.0 or windows-11; with why, all: one line for each kernel' -r
complete -c portwise -n "__fish_portwise_using_subcommand list" -l has -d 'With --on: an address that the host has, such as 192.0.2.10/24 or fe80::1/64%eth0' -r
complete -c portwise -n "__fish_portwise_using_subcommand list" -l facts -d 'Take the facts from a file that `portwise facts -o FILE` wrote' -r -F
complete -c portwise -n "__fish_portwise_using_subcommand list" -l dev -d 'The socket is bound to this interface (SO_BINDTODEVICE)' -r
complete -c portwise -n "__fish_portwise_using_subcommand list" -l color -d 'When to colour: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c portwise -n "__fish_portwise_using_subcommand list" -s t -l tcp -d 'TCP, with MPTCP'
complete -c portwise -n "__fish_portwise_using_subcommand list" -s u -l udp -d 'UDP, with UDP-Lite'
complete -c portwise -n "__fish_portwise_using_subcommand list" -s a -l all -d 'Every state: connections too, and what is left of them'
complete -c portwise -n "__fish_portwise_using_subcommand list" -l exposed -d 'Only what others than this host reach, past the firewall'
complete -c portwise -n "__fish_portwise_using_subcommand list" -l no-holders -d 'Do not look for the processes'
complete -c portwise -n "__fish_portwise_using_subcommand list" -l no-bpf -d 'Look for the processes in /proc only'
complete -c portwise -n "__fish_portwise_using_subcommand list" -l json-lines -d 'One JSON object a line, each a socket with its processes'
complete -c portwise -n "__fish_portwise_using_subcommand list" -l no-header -d 'Without the line of column names'
complete -c portwise -n "__fish_portwise_using_subcommand list" -s 4 -l ipv4 -d 'Only the IPv4 addresses of a name; for a bare port 0.0.0.0'
complete -c portwise -n "__fish_portwise_using_subcommand list" -s 6 -l ipv6 -d 'Only the IPv6 addresses of a name; for a bare port ::'
complete -c portwise -n "__fish_portwise_using_subcommand list" -l reuseaddr -d 'The socket has SO_REUSEADDR'
complete -c portwise -n "__fish_portwise_using_subcommand list" -l reuseport -d 'The socket has SO_REUSEPORT'
complete -c portwise -n "__fish_portwise_using_subcommand list" -l v6only -d 'The socket has IPV6_V6ONLY'
complete -c portwise -n "__fish_portwise_using_subcommand list" -l freebind -d 'The socket has IP_FREEBIND'
complete -c portwise -n "__fish_portwise_using_subcommand list" -s j -l json -d 'Answer in JSON'
complete -c portwise -n "__fish_portwise_using_subcommand list" -s v -l verbose -d 'Say every rule tried, every fact and every source'
complete -c portwise -n "__fish_portwise_using_subcommand list" -s q -l quiet -d 'Say less: why only its first line, check nothing but the exit status'
complete -c portwise -n "__fish_portwise_using_subcommand list" -s h -l help -d 'Print help'
complete -c portwise -n "__fish_portwise_using_subcommand free" -l near -d 'The ports closest to this one, above or below' -r
complete -c portwise -n "__fish_portwise_using_subcommand free" -l range -d 'Only these ports' -r
complete -c portwise -n "__fish_portwise_using_subcommand free" -l count -d 'How many ports' -r
complete -c portwise -n "__fish_portwise_using_subcommand free" -l as -d 'Ask as a login process of this user, without capabilities unless it is root' -r
complete -c portwise -n "__fish_portwise_using_subcommand free" -l pid -d 'Ask in place of this process: with its credentials, in its network namespace' -r
complete -c portwise -n "__fish_portwise_using_subcommand free" -l netns -d 'Ask in this network namespace' -r
complete -c portwise -n "__fish_portwise_using_subcommand free" -l on -d 'Ask another kernel, such as linux-6.12, macos-15, freebsd-15.0 or windows-11; with why, all: one line for each kernel' -r
complete -c portwise -n "__fish_portwise_using_subcommand free" -l has -d 'With --on: an address that the host has, such as 192.0.2.10/24 or fe80::1/64%eth0' -r
complete -c portwise -n "__fish_portwise_using_subcommand free" -l facts -d 'Take the facts from a file that `portwise facts -o FILE` wrote' -r -F
complete -c portwise -n "__fish_portwise_using_subcommand free" -l dev -d 'The socket is bound to this interface (SO_BINDTODEVICE)' -r
complete -c portwise -n "__fish_portwise_using_subcommand free" -l color -d 'When to colour: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c portwise -n "__fish_portwise_using_subcommand free" -s 4 -l ipv4 -d 'Only the IPv4 addresses of a name; for a bare port 0.0.0.0'
complete -c portwise -n "__fish_portwise_using_subcommand free" -s 6 -l ipv6 -d 'Only the IPv6 addresses of a name; for a bare port ::'
complete -c portwise -n "__fish_portwise_using_subcommand free" -l reuseaddr -d 'The socket has SO_REUSEADDR'
complete -c portwise -n "__fish_portwise_using_subcommand free" -l reuseport -d 'The socket has SO_REUSEPORT'
complete -c portwise -n "__fish_portwise_using_subcommand free" -l v6only -d 'The socket has IPV6_V6ONLY'
complete -c portwise -n "__fish_portwise_using_subcommand free" -l freebind -d 'The socket has IP_FREEBIND'
complete -c portwise -n "__fish_portwise_using_subcommand free" -s j -l json -d 'Answer in JSON'
complete -c portwise -n "__fish_portwise_using_subcommand free" -s v -l verbose -d 'Say every rule tried, every fact and every source'
complete -c portwise -n "__fish_portwise_using_subcommand free" -s q -l quiet -d 'Say less: why only its first line, check nothing but the exit status'
complete -c portwise -n "__fish_portwise_using_subcommand free" -s h -l help -d 'Print help'
complete -c portwise -n "__fish_portwise_using_subcommand explain" -l as -d 'Ask as a login process of this user, without capabilities unless it is root' -r
complete -c portwise -n "__fish_portwise_using_subcommand explain" -l pid -d 'Ask in place of this process: with its credentials, in its network namespace' -r
complete -c portwise -n "__fish_portwise_using_subcommand explain" -l netns -d 'Ask in this network namespace' -r
complete -c portwise -n "__fish_portwise_using_subcommand explain" -l on -d 'Ask another kernel, such as linux-6.12, macos-15, freebsd-15.0 or windows-11; with why, all: one line for each kernel' -r
complete -c portwise -n "__fish_portwise_using_subcommand explain" -l has -d 'With --on: an address that the host has, such as 192.0.2.10/24 or fe80::1/64%eth0' -r
complete -c portwise -n "__fish_portwise_using_subcommand explain" -l facts -d 'Take the facts from a file that `portwise facts -o FILE` wrote' -r -F
complete -c portwise -n "__fish_portwise_using_subcommand explain" -l dev -d 'The socket is bound to this interface (SO_BINDTODEVICE)' -r
complete -c portwise -n "__fish_portwise_using_subcommand explain" -l color -d 'When to colour: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c portwise -n "__fish_portwise_using_subcommand explain" -l cites -d 'One line for each place that is cited: id, repository, revision, file, function, identifier, with tabs between'
complete -c portwise -n "__fish_portwise_using_subcommand explain" -s 4 -l ipv4 -d 'Only the IPv4 addresses of a name; for a bare port 0.0.0.0'
complete -c portwise -n "__fish_portwise_using_subcommand explain" -s 6 -l ipv6 -d 'Only the IPv6 addresses of a name; for a bare port ::'
complete -c portwise -n "__fish_portwise_using_subcommand explain" -l reuseaddr -d 'The socket has SO_REUSEADDR'
complete -c portwise -n "__fish_portwise_using_subcommand explain" -l reuseport -d 'The socket has SO_REUSEPORT'
complete -c portwise -n "__fish_portwise_using_subcommand explain" -l v6only -d 'The socket has IPV6_V6ONLY'
complete -c portwise -n "__fish_portwise_using_subcommand explain" -l freebind -d 'The socket has IP_FREEBIND'
complete -c portwise -n "__fish_portwise_using_subcommand explain" -s j -l json -d 'Answer in JSON'
complete -c portwise -n "__fish_portwise_using_subcommand explain" -s v -l verbose -d 'Say every rule tried, every fact and every source'
complete -c portwise -n "__fish_portwise_using_subcommand explain" -s q -l quiet -d 'Say less: why only its first line, check nothing but the exit status'
complete -c portwise -n "__fish_portwise_using_subcommand explain" -s h -l help -d 'Print help'
complete -c portwise -n "__fish_portwise_using_subcommand fix" -l apply -d 'Make this change, by its number in the list' -r
complete -c portwise -n "__fish_portwise_using_subcommand fix" -l as -d 'Ask as a login process of this user, without capabilities unless it is root' -r
complete -c portwise -n "__fish_portwise_using_subcommand fix" -l pid -d 'Ask in place of this process: with its credentials, in its network namespace' -r
complete -c portwise -n "__fish_portwise_using_subcommand fix" -l netns -d 'Ask in this network namespace' -r
complete -c portwise -n "__fish_portwise_using_subcommand fix" -l on -d 'Ask another kernel, such as linux-6.12, macos-15, freebsd-15.0 or windows-11; with why, all: one line for each kernel' -r
complete -c portwise -n "__fish_portwise_using_subcommand fix" -l has -d 'With --on: an address that the host has, such as 192.0.2.10/24 or fe80::1/64%eth0' -r
complete -c portwise -n "__fish_portwise_using_subcommand fix" -l facts -d 'Take the facts from a file that `portwise facts -o FILE` wrote' -r -F
complete -c portwise -n "__fish_portwise_using_subcommand fix" -l dev -d 'The socket is bound to this interface (SO_BINDTODEVICE)' -r
complete -c portwise -n "__fish_portwise_using_subcommand fix" -l color -d 'When to colour: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c portwise -n "__fish_portwise_using_subcommand fix" -l yes -d 'Do not ask'
complete -c portwise -n "__fish_portwise_using_subcommand fix" -s 4 -l ipv4 -d 'Only the IPv4 addresses of a name; for a bare port 0.0.0.0'
complete -c portwise -n "__fish_portwise_using_subcommand fix" -s 6 -l ipv6 -d 'Only the IPv6 addresses of a name; for a bare port ::'
complete -c portwise -n "__fish_portwise_using_subcommand fix" -l reuseaddr -d 'The socket has SO_REUSEADDR'
complete -c portwise -n "__fish_portwise_using_subcommand fix" -l reuseport -d 'The socket has SO_REUSEPORT'
complete -c portwise -n "__fish_portwise_using_subcommand fix" -l v6only -d 'The socket has IPV6_V6ONLY'
complete -c portwise -n "__fish_portwise_using_subcommand fix" -l freebind -d 'The socket has IP_FREEBIND'
complete -c portwise -n "__fish_portwise_using_subcommand fix" -s j -l json -d 'Answer in JSON'
complete -c portwise -n "__fish_portwise_using_subcommand fix" -s v -l verbose -d 'Say every rule tried, every fact and every source'
complete -c portwise -n "__fish_portwise_using_subcommand fix" -s q -l quiet -d 'Say less: why only its first line, check nothing but the exit status'
complete -c portwise -n "__fish_portwise_using_subcommand fix" -s h -l help -d 'Print help'
complete -c portwise -n "__fish_portwise_using_subcommand facts" -s o -l output -d 'Write the facts as JSON into this file, for --facts' -r -F
complete -c portwise -n "__fish_portwise_using_subcommand facts" -l as -d 'Ask as a login process of this user, without capabilities unless it is root' -r
complete -c portwise -n "__fish_portwise_using_subcommand facts" -l pid -d 'Ask in place of this process: with its credentials, in its network namespace' -r
complete -c portwise -n "__fish_portwise_using_subcommand facts" -l netns -d 'Ask in this network namespace' -r
complete -c portwise -n "__fish_portwise_using_subcommand facts" -l on -d 'Ask another kernel, such as linux-6.12, macos-15, freebsd-15.0 or windows-11; with why, all: one line for each kernel' -r
complete -c portwise -n "__fish_portwise_using_subcommand facts" -l has -d 'With --on: an address that the host has, such as 192.0.2.10/24 or fe80::1/64%eth0' -r
complete -c portwise -n "__fish_portwise_using_subcommand facts" -l facts -d 'Take the facts from a file that `portwise facts -o FILE` wrote' -r -F
complete -c portwise -n "__fish_portwise_using_subcommand facts" -l dev -d 'The socket is bound to this interface (SO_BINDTODEVICE)' -r
complete -c portwise -n "__fish_portwise_using_subcommand facts" -l color -d 'When to colour: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c portwise -n "__fish_portwise_using_subcommand facts" -l with-args -d 'Keep the arguments of CMD, not its name only'
complete -c portwise -n "__fish_portwise_using_subcommand facts" -s 4 -l ipv4 -d 'Only the IPv4 addresses of a name; for a bare port 0.0.0.0'
complete -c portwise -n "__fish_portwise_using_subcommand facts" -s 6 -l ipv6 -d 'Only the IPv6 addresses of a name; for a bare port ::'
complete -c portwise -n "__fish_portwise_using_subcommand facts" -l reuseaddr -d 'The socket has SO_REUSEADDR'
complete -c portwise -n "__fish_portwise_using_subcommand facts" -l reuseport -d 'The socket has SO_REUSEPORT'
complete -c portwise -n "__fish_portwise_using_subcommand facts" -l v6only -d 'The socket has IPV6_V6ONLY'
complete -c portwise -n "__fish_portwise_using_subcommand facts" -l freebind -d 'The socket has IP_FREEBIND'
complete -c portwise -n "__fish_portwise_using_subcommand facts" -s j -l json -d 'Answer in JSON'
complete -c portwise -n "__fish_portwise_using_subcommand facts" -s v -l verbose -d 'Say every rule tried, every fact and every source'
complete -c portwise -n "__fish_portwise_using_subcommand facts" -s q -l quiet -d 'Say less: why only its first line, check nothing but the exit status'
complete -c portwise -n "__fish_portwise_using_subcommand facts" -s h -l help -d 'Print help'
complete -c portwise -n "__fish_portwise_using_subcommand reach" -l from -d 'Packets from this address, that arrive by this interface: `lo` for a client on this host' -r
complete -c portwise -n "__fish_portwise_using_subcommand reach" -l as -d 'Ask as a login process of this user, without capabilities unless it is root' -r
complete -c portwise -n "__fish_portwise_using_subcommand reach" -l pid -d 'Ask in place of this process: with its credentials, in its network namespace' -r
complete -c portwise -n "__fish_portwise_using_subcommand reach" -l netns -d 'Ask in this network namespace' -r
complete -c portwise -n "__fish_portwise_using_subcommand reach" -l on -d 'Ask another kernel, such as linux-6.12, macos-15, freebsd-15.0 or windows-11; with why, all: one line for each kernel' -r
complete -c portwise -n "__fish_portwise_using_subcommand reach" -l has -d 'With --on: an address that the host has, such as 192.0.2.10/24 or fe80::1/64%eth0' -r
complete -c portwise -n "__fish_portwise_using_subcommand reach" -l facts -d 'Take the facts from a file that `portwise facts -o FILE` wrote' -r -F
complete -c portwise -n "__fish_portwise_using_subcommand reach" -l dev -d 'The socket is bound to this interface (SO_BINDTODEVICE)' -r
complete -c portwise -n "__fish_portwise_using_subcommand reach" -l color -d 'When to colour: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c portwise -n "__fish_portwise_using_subcommand reach" -s 4 -l ipv4 -d 'Only the IPv4 addresses of a name; for a bare port 0.0.0.0'
complete -c portwise -n "__fish_portwise_using_subcommand reach" -s 6 -l ipv6 -d 'Only the IPv6 addresses of a name; for a bare port ::'
complete -c portwise -n "__fish_portwise_using_subcommand reach" -l reuseaddr -d 'The socket has SO_REUSEADDR'
complete -c portwise -n "__fish_portwise_using_subcommand reach" -l reuseport -d 'The socket has SO_REUSEPORT'
complete -c portwise -n "__fish_portwise_using_subcommand reach" -l v6only -d 'The socket has IPV6_V6ONLY'
complete -c portwise -n "__fish_portwise_using_subcommand reach" -l freebind -d 'The socket has IP_FREEBIND'
complete -c portwise -n "__fish_portwise_using_subcommand reach" -s j -l json -d 'Answer in JSON'
complete -c portwise -n "__fish_portwise_using_subcommand reach" -s v -l verbose -d 'Say every rule tried, every fact and every source'
complete -c portwise -n "__fish_portwise_using_subcommand reach" -s q -l quiet -d 'Say less: why only its first line, check nothing but the exit status'
complete -c portwise -n "__fish_portwise_using_subcommand reach" -s h -l help -d 'Print help'
complete -c portwise -n "__fish_portwise_using_subcommand doctor" -l as -d 'Ask as a login process of this user, without capabilities unless it is root' -r
complete -c portwise -n "__fish_portwise_using_subcommand doctor" -l pid -d 'Ask in place of this process: with its credentials, in its network namespace' -r
complete -c portwise -n "__fish_portwise_using_subcommand doctor" -l netns -d 'Ask in this network namespace' -r
complete -c portwise -n "__fish_portwise_using_subcommand doctor" -l on -d 'Ask another kernel, such as linux-6.12, macos-15, freebsd-15.0 or windows-11; with why, all: one line for each kernel' -r
complete -c portwise -n "__fish_portwise_using_subcommand doctor" -l has -d 'With --on: an address that the host has, such as 192.0.2.10/24 or fe80::1/64%eth0' -r
complete -c portwise -n "__fish_portwise_using_subcommand doctor" -l facts -d 'Take the facts from a file that `portwise facts -o FILE` wrote' -r -F
complete -c portwise -n "__fish_portwise_using_subcommand doctor" -l dev -d 'The socket is bound to this interface (SO_BINDTODEVICE)' -r
complete -c portwise -n "__fish_portwise_using_subcommand doctor" -l color -d 'When to colour: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c portwise -n "__fish_portwise_using_subcommand doctor" -s 4 -l ipv4 -d 'Only the IPv4 addresses of a name; for a bare port 0.0.0.0'
complete -c portwise -n "__fish_portwise_using_subcommand doctor" -s 6 -l ipv6 -d 'Only the IPv6 addresses of a name; for a bare port ::'
complete -c portwise -n "__fish_portwise_using_subcommand doctor" -l reuseaddr -d 'The socket has SO_REUSEADDR'
complete -c portwise -n "__fish_portwise_using_subcommand doctor" -l reuseport -d 'The socket has SO_REUSEPORT'
complete -c portwise -n "__fish_portwise_using_subcommand doctor" -l v6only -d 'The socket has IPV6_V6ONLY'
complete -c portwise -n "__fish_portwise_using_subcommand doctor" -l freebind -d 'The socket has IP_FREEBIND'
complete -c portwise -n "__fish_portwise_using_subcommand doctor" -s j -l json -d 'Answer in JSON'
complete -c portwise -n "__fish_portwise_using_subcommand doctor" -s v -l verbose -d 'Say every rule tried, every fact and every source'
complete -c portwise -n "__fish_portwise_using_subcommand doctor" -s q -l quiet -d 'Say less: why only its first line, check nothing but the exit status'
complete -c portwise -n "__fish_portwise_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c portwise -n "__fish_portwise_using_subcommand completions" -l as -d 'Ask as a login process of this user, without capabilities unless it is root' -r
complete -c portwise -n "__fish_portwise_using_subcommand completions" -l pid -d 'Ask in place of this process: with its credentials, in its network namespace' -r
complete -c portwise -n "__fish_portwise_using_subcommand completions" -l netns -d 'Ask in this network namespace' -r
complete -c portwise -n "__fish_portwise_using_subcommand completions" -l on -d 'Ask another kernel, such as linux-6.12, macos-15, freebsd-15.0 or windows-11; with why, all: one line for each kernel' -r
complete -c portwise -n "__fish_portwise_using_subcommand completions" -l has -d 'With --on: an address that the host has, such as 192.0.2.10/24 or fe80::1/64%eth0' -r
complete -c portwise -n "__fish_portwise_using_subcommand completions" -l facts -d 'Take the facts from a file that `portwise facts -o FILE` wrote' -r -F
complete -c portwise -n "__fish_portwise_using_subcommand completions" -l dev -d 'The socket is bound to this interface (SO_BINDTODEVICE)' -r
complete -c portwise -n "__fish_portwise_using_subcommand completions" -l color -d 'When to colour: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c portwise -n "__fish_portwise_using_subcommand completions" -s 4 -l ipv4 -d 'Only the IPv4 addresses of a name; for a bare port 0.0.0.0'
complete -c portwise -n "__fish_portwise_using_subcommand completions" -s 6 -l ipv6 -d 'Only the IPv6 addresses of a name; for a bare port ::'
complete -c portwise -n "__fish_portwise_using_subcommand completions" -l reuseaddr -d 'The socket has SO_REUSEADDR'
complete -c portwise -n "__fish_portwise_using_subcommand completions" -l reuseport -d 'The socket has SO_REUSEPORT'
complete -c portwise -n "__fish_portwise_using_subcommand completions" -l v6only -d 'The socket has IPV6_V6ONLY'
complete -c portwise -n "__fish_portwise_using_subcommand completions" -l freebind -d 'The socket has IP_FREEBIND'
complete -c portwise -n "__fish_portwise_using_subcommand completions" -s j -l json -d 'Answer in JSON'
complete -c portwise -n "__fish_portwise_using_subcommand completions" -s v -l verbose -d 'Say every rule tried, every fact and every source'
complete -c portwise -n "__fish_portwise_using_subcommand completions" -s q -l quiet -d 'Say less: why only its first line, check nothing but the exit status'
complete -c portwise -n "__fish_portwise_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c portwise -n "__fish_portwise_using_subcommand try" -l client -d 'A client to start for each endpoint that listens, such as \'curl -sS http://{endpoint}/\'' -r
complete -c portwise -n "__fish_portwise_using_subcommand try" -l wait -d 'How long a server may take to listen, and a client to end' -r
complete -c portwise -n "__fish_portwise_using_subcommand try" -l out -d 'Where a scenario that repeats a disagreement is written; by default into the directory for temporary files' -r -F
complete -c portwise -n "__fish_portwise_using_subcommand try" -l as -d 'Ask as a login process of this user, without capabilities unless it is root' -r
complete -c portwise -n "__fish_portwise_using_subcommand try" -l pid -d 'Ask in place of this process: with its credentials, in its network namespace' -r
complete -c portwise -n "__fish_portwise_using_subcommand try" -l netns -d 'Ask in this network namespace' -r
complete -c portwise -n "__fish_portwise_using_subcommand try" -l on -d 'Ask another kernel, such as linux-6.12, macos-15, freebsd-15.0 or windows-11; with why, all: one line for each kernel' -r
complete -c portwise -n "__fish_portwise_using_subcommand try" -l has -d 'With --on: an address that the host has, such as 192.0.2.10/24 or fe80::1/64%eth0' -r
complete -c portwise -n "__fish_portwise_using_subcommand try" -l facts -d 'Take the facts from a file that `portwise facts -o FILE` wrote' -r -F
complete -c portwise -n "__fish_portwise_using_subcommand try" -l dev -d 'The socket is bound to this interface (SO_BINDTODEVICE)' -r
complete -c portwise -n "__fish_portwise_using_subcommand try" -l color -d 'When to colour: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c portwise -n "__fish_portwise_using_subcommand try" -l here -d 'On the network of this machine itself, not in a private copy of it'
complete -c portwise -n "__fish_portwise_using_subcommand try" -s 4 -l ipv4 -d 'Only the IPv4 addresses of a name; for a bare port 0.0.0.0'
complete -c portwise -n "__fish_portwise_using_subcommand try" -s 6 -l ipv6 -d 'Only the IPv6 addresses of a name; for a bare port ::'
complete -c portwise -n "__fish_portwise_using_subcommand try" -l reuseaddr -d 'The socket has SO_REUSEADDR'
complete -c portwise -n "__fish_portwise_using_subcommand try" -l reuseport -d 'The socket has SO_REUSEPORT'
complete -c portwise -n "__fish_portwise_using_subcommand try" -l v6only -d 'The socket has IPV6_V6ONLY'
complete -c portwise -n "__fish_portwise_using_subcommand try" -l freebind -d 'The socket has IP_FREEBIND'
complete -c portwise -n "__fish_portwise_using_subcommand try" -s j -l json -d 'Answer in JSON'
complete -c portwise -n "__fish_portwise_using_subcommand try" -s v -l verbose -d 'Say every rule tried, every fact and every source'
complete -c portwise -n "__fish_portwise_using_subcommand try" -s q -l quiet -d 'Say less: why only its first line, check nothing but the exit status'
complete -c portwise -n "__fish_portwise_using_subcommand try" -s h -l help -d 'Print help'
complete -c portwise -n "__fish_portwise_using_subcommand trace" -s o -l out -d 'Write what is told to this file too, in lines of JSON' -r -F
complete -c portwise -n "__fish_portwise_using_subcommand trace" -l user -d 'Run it as this user, with the user\'s groups; needs root' -r
complete -c portwise -n "__fish_portwise_using_subcommand trace" -l as -d 'Ask as a login process of this user, without capabilities unless it is root' -r
complete -c portwise -n "__fish_portwise_using_subcommand trace" -l pid -d 'Ask in place of this process: with its credentials, in its network namespace' -r
complete -c portwise -n "__fish_portwise_using_subcommand trace" -l netns -d 'Ask in this network namespace' -r
complete -c portwise -n "__fish_portwise_using_subcommand trace" -l on -d 'Ask another kernel, such as linux-6.12, macos-15, freebsd-15.0 or windows-11; with why, all: one line for each kernel' -r
complete -c portwise -n "__fish_portwise_using_subcommand trace" -l has -d 'With --on: an address that the host has, such as 192.0.2.10/24 or fe80::1/64%eth0' -r
complete -c portwise -n "__fish_portwise_using_subcommand trace" -l facts -d 'Take the facts from a file that `portwise facts -o FILE` wrote' -r -F
complete -c portwise -n "__fish_portwise_using_subcommand trace" -l dev -d 'The socket is bound to this interface (SO_BINDTODEVICE)' -r
complete -c portwise -n "__fish_portwise_using_subcommand trace" -l color -d 'When to colour: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c portwise -n "__fish_portwise_using_subcommand trace" -s 4 -l ipv4 -d 'Only the IPv4 addresses of a name; for a bare port 0.0.0.0'
complete -c portwise -n "__fish_portwise_using_subcommand trace" -s 6 -l ipv6 -d 'Only the IPv6 addresses of a name; for a bare port ::'
complete -c portwise -n "__fish_portwise_using_subcommand trace" -l reuseaddr -d 'The socket has SO_REUSEADDR'
complete -c portwise -n "__fish_portwise_using_subcommand trace" -l reuseport -d 'The socket has SO_REUSEPORT'
complete -c portwise -n "__fish_portwise_using_subcommand trace" -l v6only -d 'The socket has IPV6_V6ONLY'
complete -c portwise -n "__fish_portwise_using_subcommand trace" -l freebind -d 'The socket has IP_FREEBIND'
complete -c portwise -n "__fish_portwise_using_subcommand trace" -s j -l json -d 'Answer in JSON'
complete -c portwise -n "__fish_portwise_using_subcommand trace" -s v -l verbose -d 'Say every rule tried, every fact and every source'
complete -c portwise -n "__fish_portwise_using_subcommand trace" -s q -l quiet -d 'Say less: why only its first line, check nothing but the exit status'
complete -c portwise -n "__fish_portwise_using_subcommand trace" -s h -l help -d 'Print help'
complete -c portwise -n "__fish_portwise_using_subcommand run" -s l -l listen -d 'An address and port that the program may bind, such as 127.0.0.1:80; may be repeated' -r
complete -c portwise -n "__fish_portwise_using_subcommand run" -l user -d 'Run it as this user, with the user\'s groups; needs root' -r
complete -c portwise -n "__fish_portwise_using_subcommand run" -l how -d 'Only in this way' -r -f -a "already\t'It has the right already'
cgroup\t'A BPF program of a fresh cgroup sets the limit aside for exactly the endpoints'
ambient\t'CAP_NET_BIND_SERVICE as an ambient capability: wider, only if asked for'
activation\t'The sockets are made beforehand and handed over (LISTEN_FDS)'
broker\t'portwise stays beside the program and binds for it (seccomp user notification)'"
complete -c portwise -n "__fish_portwise_using_subcommand run" -l as -d 'Ask as a login process of this user, without capabilities unless it is root' -r
complete -c portwise -n "__fish_portwise_using_subcommand run" -l pid -d 'Ask in place of this process: with its credentials, in its network namespace' -r
complete -c portwise -n "__fish_portwise_using_subcommand run" -l netns -d 'Ask in this network namespace' -r
complete -c portwise -n "__fish_portwise_using_subcommand run" -l on -d 'Ask another kernel, such as linux-6.12, macos-15, freebsd-15.0 or windows-11; with why, all: one line for each kernel' -r
complete -c portwise -n "__fish_portwise_using_subcommand run" -l has -d 'With --on: an address that the host has, such as 192.0.2.10/24 or fe80::1/64%eth0' -r
complete -c portwise -n "__fish_portwise_using_subcommand run" -l facts -d 'Take the facts from a file that `portwise facts -o FILE` wrote' -r -F
complete -c portwise -n "__fish_portwise_using_subcommand run" -l dev -d 'The socket is bound to this interface (SO_BINDTODEVICE)' -r
complete -c portwise -n "__fish_portwise_using_subcommand run" -l color -d 'When to colour: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c portwise -n "__fish_portwise_using_subcommand run" -l dry-run -d 'Say how it would be started, and do nothing'
complete -c portwise -n "__fish_portwise_using_subcommand run" -l print-unit -d 'Write systemd units that do the same, and do nothing'
complete -c portwise -n "__fish_portwise_using_subcommand run" -s 4 -l ipv4 -d 'Only the IPv4 addresses of a name; for a bare port 0.0.0.0'
complete -c portwise -n "__fish_portwise_using_subcommand run" -s 6 -l ipv6 -d 'Only the IPv6 addresses of a name; for a bare port ::'
complete -c portwise -n "__fish_portwise_using_subcommand run" -l reuseaddr -d 'The socket has SO_REUSEADDR'
complete -c portwise -n "__fish_portwise_using_subcommand run" -l reuseport -d 'The socket has SO_REUSEPORT'
complete -c portwise -n "__fish_portwise_using_subcommand run" -l v6only -d 'The socket has IPV6_V6ONLY'
complete -c portwise -n "__fish_portwise_using_subcommand run" -l freebind -d 'The socket has IP_FREEBIND'
complete -c portwise -n "__fish_portwise_using_subcommand run" -s j -l json -d 'Answer in JSON'
complete -c portwise -n "__fish_portwise_using_subcommand run" -s v -l verbose -d 'Say every rule tried, every fact and every source'
complete -c portwise -n "__fish_portwise_using_subcommand run" -s q -l quiet -d 'Say less: why only its first line, check nothing but the exit status'
complete -c portwise -n "__fish_portwise_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c portwise -n "__fish_portwise_using_subcommand conform" -l random -d 'Play N random scenarios on the model and on the running kernel, in private network namespaces' -r
complete -c portwise -n "__fish_portwise_using_subcommand conform" -l random-rules -d 'Send packets through N random rulesets of the firewall, in private network namespaces, and hold against each where `reach` says it ends; as root, with ip, nft and iptables' -r
complete -c portwise -n "__fish_portwise_using_subcommand conform" -l within -d 'With --random-rules: start no ruleset after so many seconds' -r
complete -c portwise -n "__fish_portwise_using_subcommand conform" -l seed -d 'With --random: which scenarios; the same seed gives the same ones everywhere' -r
complete -c portwise -n "__fish_portwise_using_subcommand conform" -l skip -d 'With --random: leave out the first N of them' -r
complete -c portwise -n "__fish_portwise_using_subcommand conform" -l jobs -d 'With --random or --live: how many threads; one for each processor by default' -r
complete -c portwise -n "__fish_portwise_using_subcommand conform" -l record -d 'With --random or --random-rules: write every scenario, with what the kernel answered, into a file' -r -F
complete -c portwise -n "__fish_portwise_using_subcommand conform" -l out -d 'With --random: where a disagreement is written; by default into the directory for temporary files' -r -F
complete -c portwise -n "__fish_portwise_using_subcommand conform" -l as -d 'Ask as a login process of this user, without capabilities unless it is root' -r
complete -c portwise -n "__fish_portwise_using_subcommand conform" -l pid -d 'Ask in place of this process: with its credentials, in its network namespace' -r
complete -c portwise -n "__fish_portwise_using_subcommand conform" -l netns -d 'Ask in this network namespace' -r
complete -c portwise -n "__fish_portwise_using_subcommand conform" -l on -d 'Ask another kernel, such as linux-6.12, macos-15, freebsd-15.0 or windows-11; with why, all: one line for each kernel' -r
complete -c portwise -n "__fish_portwise_using_subcommand conform" -l has -d 'With --on: an address that the host has, such as 192.0.2.10/24 or fe80::1/64%eth0' -r
complete -c portwise -n "__fish_portwise_using_subcommand conform" -l facts -d 'Take the facts from a file that `portwise facts -o FILE` wrote' -r -F
complete -c portwise -n "__fish_portwise_using_subcommand conform" -l dev -d 'The socket is bound to this interface (SO_BINDTODEVICE)' -r
complete -c portwise -n "__fish_portwise_using_subcommand conform" -l color -d 'When to colour: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c portwise -n "__fish_portwise_using_subcommand conform" -l features -d 'Probe what differs between versions of Linux, in private network namespaces, and hold it against what the version of the running kernel says'
complete -c portwise -n "__fish_portwise_using_subcommand conform" -l live -d 'Replay the files on the running kernel instead of the model, each scenario in a fresh network namespace; the shell commands in the files are run'
complete -c portwise -n "__fish_portwise_using_subcommand conform" -s 4 -l ipv4 -d 'Only the IPv4 addresses of a name; for a bare port 0.0.0.0'
complete -c portwise -n "__fish_portwise_using_subcommand conform" -s 6 -l ipv6 -d 'Only the IPv6 addresses of a name; for a bare port ::'
complete -c portwise -n "__fish_portwise_using_subcommand conform" -l reuseaddr -d 'The socket has SO_REUSEADDR'
complete -c portwise -n "__fish_portwise_using_subcommand conform" -l reuseport -d 'The socket has SO_REUSEPORT'
complete -c portwise -n "__fish_portwise_using_subcommand conform" -l v6only -d 'The socket has IPV6_V6ONLY'
complete -c portwise -n "__fish_portwise_using_subcommand conform" -l freebind -d 'The socket has IP_FREEBIND'
complete -c portwise -n "__fish_portwise_using_subcommand conform" -s j -l json -d 'Answer in JSON'
complete -c portwise -n "__fish_portwise_using_subcommand conform" -s v -l verbose -d 'Say every rule tried, every fact and every source'
complete -c portwise -n "__fish_portwise_using_subcommand conform" -s q -l quiet -d 'Say less: why only its first line, check nothing but the exit status'
complete -c portwise -n "__fish_portwise_using_subcommand conform" -s h -l help -d 'Print help'
