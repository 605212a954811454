"""What an attacker with root in a server tries; runs inside it, with Python's standard library alone.

ask tcp|udp ADDRESS PORT [SOURCE]     print what the other end says, or why it doesn't
forge ADDRESS SOURCE                  send UDP to port 53 of ADDRESS in the name of SOURCE
shout MARK NEIGHBOUR                  send ARP, router advertisement, DHCP and plain frames
listen SECONDS MARK                   print how many frames with MARK arrive
"""

import socket
import struct
import sys
import time

ETH_ALL, ARP, IPV4, IPV6 = 3, 0x0806, 0x0800, 0x86DD
NOBODY, EVERYBODY = "0.0.0.0", b"\xff" * 6  # noqa: S104 -- the source of who has no address yet, not a binding


def say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def ask(protocol: str, address: str, port: str, source: str = "") -> str:
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as caller:
        caller.settimeout(1)
        try:
            if source:
                caller.bind((source, 0))
            caller.connect((address, int(port)))
            if protocol == "udp":
                caller.send(b"?")
            return caller.recv(100).decode()
        except OSError as error:
            return f"nothing: {error}"


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def ipv4(source: str, target: str, payload: bytes, protocol: int = 17) -> bytes:
    ends = socket.inet_aton(source) + socket.inet_aton(target)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0) + ends
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ipv6(source: str, target: str, payload: bytes, header: int) -> bytes:
    ends = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, target)
    return struct.pack("!IHBB", 6 << 28, len(payload), header, 255) + ends + payload


def udp(source_port: int, port: int, payload: bytes) -> bytes:
    return struct.pack("!HHHH", source_port, port, 8 + len(payload), 0) + payload


def forge(address: str, source: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.sendto(ipv4(source, address, udp(4000, 53, b"forged")), (address, 0))


def shout(mark: str, neighbour: str) -> None:
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    wire.bind(("eth0", 0))
    own, tail = wire.getsockname()[4], mark.encode()
    gateway = socket.inet_aton("169.254.0.1")
    arp = struct.pack("!HHBBH", 1, IPV4, 6, 4, 2) + own + gateway + EVERYBODY + socket.inet_aton(neighbour) + tail
    advert = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + tail
    packets = [
        (EVERYBODY, ARP, arp),
        (b"\x33\x33\0\0\0\1", IPV6, ipv6("fe80::1", "ff02::1", advert, 58)),
        (EVERYBODY, IPV4, ipv4(NOBODY, "255.255.255.255", udp(68, 67, tail))),
        (EVERYBODY, IPV4, ipv4("169.254.0.1", neighbour, udp(67, 68, tail))),
        (EVERYBODY, 0x88B5, tail),
    ]
    for target, kind, packet in packets * 3:
        wire.send(target + own + struct.pack("!H", kind) + packet)


def listen(seconds: str, mark: str) -> int:
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_ALL))
    wire.bind(("eth0", ETH_ALL))
    say("listening")
    wire.settimeout(0.1)
    end, seen = time.monotonic() + float(seconds), 0
    while time.monotonic() < end:
        try:
            seen += mark.encode() in wire.recv(2000)
        except TimeoutError:
            continue
    return seen


found = {"ask": ask, "forge": forge, "shout": shout, "listen": listen}[sys.argv[1]](*sys.argv[2:])
say("" if found is None else found)
