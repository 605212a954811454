"""A program for both ends of a network: answers on ports, and tells each caller the address it came from.

answering.py tcp:80 udp:53 …
"""

import socket
import sys
import threading


def text(address: tuple[str, ...]) -> bytes:
    return address[0].removeprefix("::ffff:").encode()


def tcp(listener: socket.socket) -> None:
    while True:
        caller, address = listener.accept()
        caller.sendall(text(address))
        caller.close()


def udp(listener: socket.socket) -> None:
    while True:
        _, address = listener.recvfrom(1500)
        listener.sendto(text(address), address)


for argument in sys.argv[1:]:
    protocol, _, port = argument.partition(":")
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    bound = socket.socket(socket.AF_INET6, kind)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    bound.bind(("::", int(port)))
    if protocol == "tcp":
        bound.listen()
    threading.Thread(target=tcp if protocol == "tcp" else udp, args=(bound,)).start()
sys.stdout.write("ready\n")
sys.stdout.flush()
