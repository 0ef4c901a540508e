# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask DNS servers for addresses over UDP, with nothing but the standard library: runs where a pod stands.

Arguments: servers, ``--``, names with their closing dot. Prints server → name → addresses as JSON.
"""

import json
import os
import socket
import struct
import sys

SECONDS = 3
A = 1


def question(name: str, number: int) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split("."))
    return struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", A, 1)


def skip_name(data: bytes, at: int) -> int:
    while data[at] and data[at] < 0xC0:
        at += data[at] + 1
    return at + (2 if data[at] >= 0xC0 else 1)


def addresses(data: bytes) -> list:
    count, at = struct.unpack(">H", data[6:8])[0], skip_name(data, 12) + 4
    found = []
    for _ in range(count):
        at = skip_name(data, at)
        kind, _, _, length = struct.unpack(">HHIH", data[at : at + 10])
        if kind == A:
            found.append(socket.inet_ntoa(data[at + 10 : at + 14]))
        at += 10 + length
    return sorted(found)


def ask(server: str, name: str) -> list:
    number = struct.unpack(">H", os.urandom(2))[0]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(SECONDS)
        sock.sendto(question(name, number), (server, 53))
        try:
            return addresses(sock.recv(4096))
        except OSError:
            return ["no answer"]


split = sys.argv.index("--")
servers, names = sys.argv[1:split], sys.argv[split + 1 :]
print(json.dumps({server: {name: ask(server, name) for name in names} for server in servers}))
