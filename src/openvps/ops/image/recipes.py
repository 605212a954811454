"""The systems we can build, and what makes their first boot quick.

A server is a container: units that belong to hardware, kernels and disks only cost time at its start. They are
masked, each with its reason; whatever a customer may miss comes back with `systemctl unmask`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """One system: its place in the archive and its packages; `name` is the API's slug of it."""

    name: str
    title: str
    distribution: str  # ID in /etc/os-release
    codename: str
    components: tuple[str, ...]
    keyring: str
    keyring_package: str
    packages: tuple[str, ...]


_SERVER = (
    *("systemd-sysv", "dbus", "libnss-myhostname", "openssh-server", "cloud-init", "sudo", "cron", "logrotate"),
    *("ca-certificates", "curl", "wget", "iproute2", "iputils-ping", "netbase", "procps", "psmisc", "usr-is-merged"),
    *("locales", "apt-utils", "bash-completion", "less", "lsb-release", "man-db", "nano", "ncurses-term", "vim-tiny"),
)

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="debian-12",
            title="Debian 12",
            distribution="debian",
            codename="bookworm",
            components=("main",),
            keyring="/usr/share/keyrings/debian-archive-keyring.gpg",
            keyring_package="debian-archive-keyring",
            packages=_SERVER,
        ),
        Recipe(
            name="ubuntu-22.04",
            title="Ubuntu 22.04 LTS",
            distribution="ubuntu",
            codename="jammy",
            components=("main", "universe"),
            keyring="/usr/share/keyrings/ubuntu-archive-keyring.gpg",
            keyring_package="ubuntu-keyring",
            packages=_SERVER,
        ),
    )
}

MASKED = {
    "modprobe@.service": "a container can't load kernel modules",
    "systemd-modules-load.service": "as modprobe@",
    "kmod-static-nodes.service": "as modprobe@",
    "sys-kernel-config.mount": "the host's kernel",
    "sys-kernel-debug.mount": "the host's kernel",
    "sys-kernel-tracing.mount": "the host's kernel",
    "sys-fs-fuse-connections.mount": "the host's kernel",
    "dev-hugepages.mount": "the host's memory",
    "systemd-pstore.service": "the host's crashes",
    "systemd-remount-fs.service": "the host mounted the disk",
    "systemd-udev-trigger.service": "there are no devices of its own",
    "systemd-udevd.service": "as udev-trigger",
    "systemd-timesyncd.service": "the clock is the host's",
    "systemd-networkd-wait-online.service": "the host set the addresses before the start",
    "e2scrub_reap.service": "the disk is the host's",
    "e2scrub_all.timer": "as e2scrub_reap",
    "fstrim.timer": "as e2scrub_reap",
    "getty@tty1.service": "the console is console-getty's",
    "cloud-init-hotplugd.socket": "there are no devices of its own",
    "dev-mqueue.mount": "a view of message queues, which work without it",
    "systemd-ask-password-console.path": "there are no disks to unlock",
    "systemd-ask-password-wall.path": "as ask-password-console",
    "systemd-tmpfiles-setup-dev.service": "the host made /dev",
    "systemd-update-utmp-runlevel.service": "nobody asks for a run level",
}

ON_DEMAND = {  # started by their sockets or bus names when somebody asks, not at boot
    "multi-user.target": ("dbus.service", "systemd-logind.service"),
}

GENERATORS = {
    "cloud-init-generator": "cloud-init.target is enabled for good; its services look for user_data",
    "systemd-cryptsetup-generator": "there are no disks to unlock",
    "systemd-gpt-auto-generator": "there are no partitions",
    "systemd-hibernate-resume-generator": "a container can't hibernate",
    "systemd-integritysetup-generator": "as gpt-auto",
    "systemd-veritysetup-generator": "as gpt-auto",
}
