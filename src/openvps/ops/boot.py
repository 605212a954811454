"""Between the host's boot and the next `openvps up`: the firewall stands before the system's Incus starts servers.

Our own daemon is started by `up`, behind the firewall. The system's starts at boot and takes up the servers that ran,
long before anybody has run `up`. So `up` saves its rules and the router's kernel settings, and a unit loads them,
without which systemd doesn't start Incus. Only nft, sysctl and ip are run: no Python, and no name that must resolve.

The unit runs before each start of Incus, also one after its death. That may have come while a server was starting,
with the server's interface made and not yet given to it: nothing of Incus takes such a one away, and it would be in
the way of every later start of that server (seen). So the unit takes it away.
"""

import shutil
from pathlib import Path

from openvps.core.settings import Settings
from openvps.ops import hostnet
from openvps.ops.firewall import ruleset
from openvps.ops.processes import PATH
from openvps.ops.units import UNITS, differs, enable, replace
from openvps.ops.units import remove as take_away

# The end that a server was given is shown as `@if12`, one on the host by its name.
FREE_INTERFACES = """\
ip -o link show type veth | awk -F '[:@ ]+' '$2 ~ /^{prefix}[0-9]+$/ && $3 !~ /^if[0-9]+$/ {{print $2}}' |
  xargs -r -n 1 ip link delete dev
"""


def unit_name(settings: Settings) -> str:
    """Return the unit's name: one an installation, as the table."""
    return f"{settings.project}-firewall.service"


def ensure(settings: Settings, cell_name: str, *, units: Path = UNITS) -> bool:
    """Save what stands now and have systemd load it before Incus; returns whether the unit changed.

    Raises NotReady where systemd refuses.
    """
    save(settings, cell_name)
    file, wanted = units / unit_name(settings), unit(settings)
    link = units / "incus.service.requires" / file.name
    if not differs(file, wanted) and link.exists():
        return False
    enable(file, wanted)
    return True


def save(settings: Settings, cell_name: str) -> None:
    """Keep the firewall's rules, the kernel settings as far as they stand, and what else is to be done."""
    at = folder(settings)
    at.mkdir(mode=0o700, exist_ok=True)
    replace(at / "firewall.nft", ruleset(hostnet.rules(settings, cell_name)))
    kept = "".join(f"{name} = {value}\n" for name, value in hostnet.standing(settings).items())
    replace(at / "sysctl.conf", kept)
    replace(at / "interfaces.sh", free_interfaces(settings.nic_prefix))


def free_interfaces(nic_prefix: str) -> str:
    """Return the lines for a shell that remove interfaces of servers that no server was given."""
    return FREE_INTERFACES.format(prefix=nic_prefix)


def remove(settings: Settings, *, units: Path = UNITS) -> None:
    """Take the unit away; there being none is success. Incus goes on."""
    take_away(units / unit_name(settings), stop=False)


def unit(settings: Settings) -> str:
    """Return the unit's text.

    It doesn't remain active, so each start of Incus loads the rules again, and nobody can stop Incus by stopping it.
    What it loads is of the data folder: where that was removed by hand, Incus starts without.
    """
    at = folder(settings)
    nft, sysctl = (shutil.which(name, path=PATH) or f"/usr/sbin/{name}" for name in ("nft", "sysctl"))
    return f"""\
[Unit]
Description=The firewall of OpenVPS's servers ({settings.project}), before Incus starts them
Documentation=file:{at}/firewall.nft
After=network-online.target nftables.service
Before=incus.service
RequiresMountsFor={at}
ConditionPathExists={at}/firewall.nft

[Service]
Type=oneshot
ExecStart={nft} -f {at}/firewall.nft
ExecStart=-{sysctl} --quiet --ignore --load={at}/sysctl.conf
ExecStart=-/bin/sh {at}/interfaces.sh

[Install]
RequiredBy=incus.service
"""


def folder(settings: Settings) -> Path:
    """Return where what units read is kept."""
    return settings.data_dir.resolve() / "boot"
