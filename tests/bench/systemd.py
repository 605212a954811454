"""`script/up` on a Debian 12 machine with systemd, from an empty machine to a purge, with a reboot on the way.

No measurement but a proof: see `proof`.
"""

import re
import subprocess
import time
from pathlib import Path

import proof
from nested import Nested
from proof import BACK_S, CLONE, NotSeen, Seen, reboot, until

PIDFILE = "/run/up.pid"
UP = f"cd {CLONE} && echo $$ >{PIDFILE} && exec script/up"
DOWN = ("/opt/openvps/bin/openvps", "down", "--purge", "--yes")
READY_S, AGAIN_S, ACTIVE_S, END_S = 900, 20, 120, 60
LEFT = {  # what a purge must leave none of, and a line that prints it
    "data folder": "ls -d /var/lib/openvps",
    "firewall and unit": "nft list tables | grep openvps; ls -d /etc/systemd/system/*openvps*"
    " /etc/systemd/system/*.requires/*openvps*; systemctl list-units --all --plain --no-legend 'openvps*'",
    "routes": "ip route show | grep unreachable; ip -6 route show | grep unreachable; ip route show | grep vps",
    "engine's project and pool": "incus project list -f csv | grep openvps; incus storage list -f csv | grep openvps",
    "mounts and loop devices": "findmnt --raw --noheadings --output TARGET | grep openvps;"
    " losetup --list --noheadings --output BACK-FILE | grep -x '/var/lib/incus/disks/openvps.*'",
    "processes": "pgrep -a -u openvps-db,openvps-api,openvps-worker; pgrep -a -f [b]in/openvps",
}


def prove() -> bool:
    """Go the whole way; returns whether all was seen."""
    return proof.prove(_walk)


def _walk(machine: Nested, seen: Seen, work: Path) -> None:
    up, log = _up(machine, seen, work, "script/up on the empty machine", READY_S)
    with seen.step("the printed curl line, pasted, until `active`"):
        _make_a_server(machine, log)
    printed = _printed(log, "log in to the newest one, a few seconds later:")
    with seen.step("the printed ssh line, once, at the first `active`"):
        machine.shell(f"{printed} 'touch /run/this-boot /root/kept'")
    before, _, question = printed.partition("root@")
    login = f"{before}root@{machine.shell(f'echo {question}').strip()}"
    _end(machine, seen, up)
    _goes_on(machine, seen, login)
    up, _ = _up(machine, seen, work, "script/up again", AGAIN_S)
    _end(machine, seen, up)
    _reboot(machine, seen, login)
    _incus_dies(machine, seen, login)
    _count_is_lost(machine, seen)
    up, _ = _up(machine, seen, work, "script/up after the reboot", AGAIN_S)
    with seen.step("the server is `active` still, and logged in to"):
        machine.shell(f"{login} test -e /run/this-boot-2")
    _end(machine, seen, up)
    _no_firewall_no_engine(machine, seen)
    up, _ = _up(machine, seen, work, "script/up, which writes the rules anew", AGAIN_S)
    with seen.step("what a purge is to remove is found"):
        for what, line in LEFT.items():
            if not _found(machine, line):
                raise NotSeen(f"no {what}, while it runs: so nothing is proved by finding none later")
    with seen.step("openvps down --purge --yes"):
        machine.run(*DOWN)
        _ended(up)
    _nothing_left(machine, seen)


def _up(machine: Nested, seen: Seen, work: Path, what: str, within_s: float) -> tuple[subprocess.Popen[bytes], Path]:
    """Begin script/up and wait until it has said all that it says; returns it with its log."""
    log = work / f"up-{len(seen.rows)}.log"
    with seen.step(what) as notes:
        began = time.monotonic()
        process = machine.start(UP, log)
        while "log in to the newest one" not in (said := log.read_text(errors="replace")):
            if process.poll() is not None:
                raise NotSeen(f"{what} ended with {process.returncode}")
            if time.monotonic() - began > within_s:
                raise NotSeen(f"{what} took over {within_s} s")
            time.sleep(0.1)
        if "the system Incus at /var/lib/incus" not in said:
            raise NotSeen(f"{what} did not use the system's Incus")
        notes.append("ready, on the system's Incus")
    return process, log


def _printed(log: Path, head: str) -> str:
    """Return the line that is printed below `head`."""
    deadline = time.monotonic() + 5  # it may be half written
    while not (found := re.search(rf"^{re.escape(head)}\n(.+)\n\n", log.read_text(), re.MULTILINE)):
        if time.monotonic() > deadline:
            raise NotSeen(f"nothing is printed below: {head}")
        time.sleep(0.1)
    return found[1]


def _make_a_server(machine: Nested, log: Path) -> None:
    line = _printed(log, "make a server:")
    answer = machine.shell(line)
    if '"status":"provisioning"' not in answer.replace(" ", ""):
        raise NotSeen(f"the curl line was answered {answer}")
    token = re.search(r"Bearer (vps_\w+)", line)
    asked = f"curl -s http://127.0.0.1:8080/api/v1/servers/ -H 'Authorization: Bearer {token and token[1]}'"
    machine.shell(f'until {asked} | grep -q \'"status": *"active"\'; do sleep 0.1; done', timeout_s=ACTIVE_S)


def _end(machine: Nested, seen: Seen, up: subprocess.Popen[bytes]) -> None:
    with seen.step("SIGTERM ends it") as notes:
        machine.shell(f"kill -TERM $(cat {PIDFILE})")
        notes.append(f"exit code {_ended(up)}")


def _ended(up: subprocess.Popen[bytes]) -> int:
    try:
        code = up.wait(END_S)
    except subprocess.TimeoutExpired as error:
        up.kill()
        raise NotSeen(f"up did not end within {END_S} s") from error
    if code:
        raise NotSeen(f"up ended with {code}")
    return code


def _goes_on(machine: Nested, seen: Seen, login: str) -> None:
    with seen.step("the server runs on, on the system's Incus") as notes:
        notes.append(f"incus.service {machine.shell('systemctl is-active incus.service').strip()}")
        notes.append(_state(machine))
        machine.shell(f"{login} test -e /run/this-boot")


def _state(machine: Nested) -> str:
    """Return the engine's word for the one server. Raises NotSeen unless it runs."""
    state = machine.shell("incus list --project openvps --format csv --columns s").strip()
    if state != "RUNNING":
        raise NotSeen(f"the engine says of the server: {state or 'there is none'}")
    return state


def _reboot(machine: Nested, seen: Seen, login: str) -> None:
    """Reboot the machine, and see the server come back behind the firewall with nobody there to run `up`."""
    with seen.step("a reboot of the machine") as notes:
        notes.extend(reboot(machine))
    with seen.step("the server comes back by itself") as notes:
        machine.shell(f"until {login} -o ConnectTimeout=1 true; do sleep 0.2; done 2>/dev/null", timeout_s=BACK_S)
        machine.shell(f"{login} 'test -e /root/kept && ! test -e /run/this-boot && touch /run/this-boot-2'")
        notes.append(_state(machine))
    with seen.step("the firewall stood before Incus started") as notes:
        machine.shell("nft list table inet openvps_openvps")
        if machine.shell("pgrep -f '[b]in/openvps' || true").strip():
            raise NotSeen("an openvps runs already, so it may have been what loaded the firewall")
        loaded = _moment(machine, "openvps-firewall.service", "ExecMainExitTimestampMonotonic")
        started = _moment(machine, "incus.service", "ExecMainStartTimestampMonotonic")
        if not 0 < loaded < started:
            raise NotSeen(f"the firewall was loaded at {loaded} us, Incus started at {started} us")
        notes.append(f"by {(started - loaded) / 1000:.0f} ms")
        if machine.shell("cat /proc/sys/net/ipv4/ip_forward").strip() != "1":
            raise NotSeen("the machine doesn't forward")


def _incus_dies(machine: Nested, seen: Seen, login: str) -> None:
    """Kill Incus as in the middle of a start, and see what that leaves on the host go."""
    with seen.step("Incus is killed: systemd starts it, and removes an interface that no server was given") as notes:
        machine.shell("ip link add vps999999 type veth peer name veth999999")
        before = machine.run("systemctl", "show", "--value", "--property=MainPID", "incus.service").strip()
        machine.run("kill", "-9", before)
        until(lambda: _moment(machine, "incus.service", "MainPID") not in {0, int(before)}, "it runs again")
        if machine.shell("ip -br link show type veth | grep 999999 || true"):
            raise NotSeen("the interface is there still")
        notes.append(_state(machine))
        machine.shell(f"{login} test -e /run/this-boot-2")


def _count_is_lost(machine: Nested, seen: Seen) -> None:
    """Have btrfs lose count of servers' disks, as kernels do by themselves, with nobody there to run `up`."""
    with seen.step("btrfs loses count of disks, and is made to count anew"):
        pool = "/var/lib/incus/storage-pools/openvps"
        flag = f"cat /sys/fs/btrfs/$(findmnt -no UUID --mountpoint {pool})/qgroups/inconsistent"
        biggest = f"btrfs qgroup show --raw {pool} | grep '^0/' | sort -rnk2 | cut -d' ' -f1 | head -n1"
        lose = f"btrfs qgroup create 1/1 {pool}; btrfs qgroup assign --no-rescan $({biggest}) 1/1 {pool}; {flag}"
        if machine.shell(lose).split()[-1] != "1":
            raise NotSeen("it hasn't lost count")
        until(lambda: machine.shell(flag).strip() == "0", "it has counted")


def _no_firewall_no_engine(machine: Nested, seen: Seen) -> None:
    """Spoil the saved rules, and see that systemd doesn't start Incus then."""
    with seen.step("with spoilt rules Incus isn't started") as notes:
        machine.shell("echo nonsense >>/var/lib/openvps/boot/firewall.nft")
        machine.shell("systemctl stop incus.socket incus.service")
        machine.shell("systemctl start incus.service 2>/dev/null || true")
        state = machine.shell("systemctl is-active incus.service || true").strip()
        if state == "active":
            raise NotSeen("Incus started without the firewall")
        notes.append(f"incus.service {state}")


def _moment(machine: Nested, unit: str, what: str) -> int:
    return int(machine.run("systemctl", "show", "--value", f"--property={what}", unit))


def _found(machine: Nested, line: str) -> str:
    return machine.shell(f"{{ {line}; }} 2>/dev/null || true").strip()


def _nothing_left(machine: Nested, seen: Seen) -> None:
    for what, line in LEFT.items():
        with seen.step(f"left of it: {what}") as notes:
            if found := _found(machine, line):
                raise NotSeen(f"left of {what}: {found}")
            notes.append("nothing")
    with seen.step("the system's Incus goes on") as notes:
        notes.append(machine.shell("systemctl is-active incus.service").strip())
