#!/usr/bin/env python3
"""
The stand-in's doors in another network namespace, a container's: connections go over Unix sockets, which files are, whatever the network.

In the suite's own network, serve() leads from a Unix socket to a port. As a program, usage: bridge.py DIRECTORY COMMAND [ARG …], in the
container's: brings loopback up, leads from the same ports to the sockets in DIRECTORY, and runs the command.
"""
import fcntl
import os
import socket
import struct
import subprocess
import sys
import threading

MACHINE = "169.254.169.254"
DOORS = {"google.sock": ("127.0.0.1", 443), "machine.sock": (MACHINE, 80)}


def bring_up(interface, address):
    """An address of the loopback interface."""
    name = interface.encode()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, 0x8916, struct.pack("16sHH4s8x", name, socket.AF_INET, 0, socket.inet_aton(address)))  # SIOCSIFADDR
        fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", name, 0x1 | 0x8 | 0x40))  # SIOCSIFFLAGS: up, loopback, running


def pump(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
    except OSError:
        pass
    for s, how in ((a, socket.SHUT_RD), (b, socket.SHUT_WR)):
        try:
            s.shutdown(how)
        except OSError:
            pass


def serve(listening, family, address):
    """Takes connections for as long as the process lives, and leads each to the address."""
    def each():
        while True:
            here = listening.accept()[0]
            there = socket.socket(family, socket.SOCK_STREAM)
            try:
                there.connect(address)
            except OSError:
                here.close()
                continue
            for pair in ((here, there), (there, here)):
                threading.Thread(target=pump, args=pair, daemon=True).start()
    threading.Thread(target=each, daemon=True).start()


def unix_listener(path):
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(path)
    listening.listen(64)
    return listening


def main():
    directory, command = sys.argv[1], sys.argv[2:]
    bring_up("lo", "127.0.0.1")
    bring_up("lo:1", MACHINE)
    for name, address in DOORS.items():
        serve(socket.create_server(address), socket.AF_UNIX, os.path.join(directory, name))
    return subprocess.call(command)


if __name__ == "__main__":
    sys.exit(main())
