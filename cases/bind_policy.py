#!/usr/bin/python3
"""Attaches a BPF program to a cgroup that lets bind pass for one IPv4 port and refuses all others.

bind_policy.py CGROUP PORT. The program stays as long as the cgroup does. See bpf(2); the context is
`struct bpf_sock_addr` of linux/bpf.h.
"""
import ctypes
import os
import socket
import struct
import sys

BPF_PROG_LOAD, BPF_PROG_ATTACH = 5, 8
CGROUP_SOCK_ADDR, CGROUP_INET4_BIND = 18, 8
USER_PORT = 24  # its offset in the context, in network order


def instruction(code, registers, offset, value):
    return struct.pack("<BBhi", code, registers, offset, value)


def bpf(command, attributes):
    memory = ctypes.create_string_buffer(attributes, 144)
    result = ctypes.CDLL(None, use_errno=True).syscall(321, command, memory, 144)
    if result < 0:
        sys.exit("bpf: " + os.strerror(ctypes.get_errno()))
    return result


def main(cgroup, port):
    program = b"".join([
        instruction(0x61, 0x12, USER_PORT, 0),             # r2 = port
        instruction(0xb7, 0x00, 0, 1),                     # r0 = pass
        instruction(0x15, 0x02, 1, socket.htons(port)),    # if r2 == PORT skip one
        instruction(0xb7, 0x00, 0, 0),                     # r0 = refuse
        instruction(0x95, 0x00, 0, 0),                     # return r0
    ])
    code, license = ctypes.create_string_buffer(program, len(program)), ctypes.create_string_buffer(b"GPL")
    load = struct.pack("<IIQQIIQII16sII", CGROUP_SOCK_ADDR, len(program) // 8, ctypes.addressof(code),
                       ctypes.addressof(license), 0, 0, 0, 0, 0, b"sd_bind4", 0, CGROUP_INET4_BIND)
    loaded = bpf(BPF_PROG_LOAD, load)
    where = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY)
    bpf(BPF_PROG_ATTACH, struct.pack("<IIII", where, loaded, CGROUP_INET4_BIND, 0))


main(sys.argv[1], int(sys.argv[2]))
