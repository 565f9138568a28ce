#!/usr/bin/python3
"""Attaches a BPF program to a cgroup that lets bind pass for one IPv4 port and refuses all others, or
puts one IPv4 address in the place of what is asked for, or drops each packet that arrives.

cgroup_policy.py CGROUP PORT|ADDRESS|drop. The program stays as long as the cgroup does. See bpf(2); the context is
`struct bpf_sock_addr` of linux/bpf.h.
"""
import ctypes
import os
import socket
import struct
import sys

BPF_PROG_LOAD, BPF_PROG_ATTACH = 5, 8
BIND = CGROUP_SOCK_ADDR, CGROUP_INET4_BIND = 18, 8
ARRIVE = CGROUP_SKB, CGROUP_INET_INGRESS = 8, 0
# Offsets in the context; what is there is in network order.
USER_IP4, USER_PORT = 4, 24


def instruction(code, registers, offset, value):
    return struct.pack("<BBhi", code, registers, offset, value)


def bpf(command, attributes):
    memory = ctypes.create_string_buffer(attributes, 144)
    result = ctypes.CDLL(None, use_errno=True).syscall(321, command, memory, 144)
    if result < 0:
        sys.exit("bpf: " + os.strerror(ctypes.get_errno()))
    return result


def only(port):
    return [
        instruction(0x61, 0x12, USER_PORT, 0),             # r2 = port
        instruction(0xb7, 0x00, 0, 1),                     # r0 = pass
        instruction(0x15, 0x02, 1, socket.htons(port)),    # if r2 == PORT skip one
        instruction(0xb7, 0x00, 0, 0),                     # r0 = refuse
        instruction(0x95, 0x00, 0, 0),                     # return r0
    ]


def instead(address):
    value = struct.unpack("=i", socket.inet_aton(address))[0]
    return [
        instruction(0xb7, 0x02, 0, value),                 # r2 = ADDRESS
        instruction(0x63, 0x21, USER_IP4, 0),              # address = r2
        instruction(0xb7, 0x00, 0, 1),                     # r0 = pass
        instruction(0x95, 0x00, 0, 0),                     # return r0
    ]


def drop():
    return [instruction(0xb7, 0x00, 0, 0), instruction(0x95, 0x00, 0, 0)]


def main(cgroup, what):
    kind, point = ARRIVE if what == "drop" else BIND
    steps = drop() if what == "drop" else instead(what) if "." in what else only(int(what))
    program = b"".join(steps)
    code, license = ctypes.create_string_buffer(program, len(program)), ctypes.create_string_buffer(b"GPL")
    load = struct.pack("<IIQQIIQII16sII", kind, len(program) // 8, ctypes.addressof(code),
                       ctypes.addressof(license), 0, 0, 0, 0, 0, b"policy", 0, point)
    loaded = bpf(BPF_PROG_LOAD, load)
    where = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY)
    bpf(BPF_PROG_ATTACH, struct.pack("<IIII", where, loaded, point, 0))


main(sys.argv[1], sys.argv[2])
