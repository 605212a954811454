"""Every setting, read from `OPENVPS_…` in the environment or from the file that `OPENVPS_CONFIG` names.

`openvps up --help` prints this list: the descriptions here are the reference.
"""

import os
from decimal import Decimal
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

DEFAULT_CONFIG = "/etc/openvps/openvps.env"
NIC_PREFIX = "^[a-z]{2,4}$"
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
Network = IPv4Network | IPv6Network
Texts = Annotated[list[str], NoDecode]


class Settings(BaseSettings):
    """The settings of one installation; lists are comma-separated."""

    model_config = SettingsConfigDict(env_prefix="OPENVPS_", extra="ignore", frozen=True)

    # where things are
    data_dir: Path = Field(default=Path("/var/lib/openvps"), description="everything OpenVPS keeps on this machine")
    database_url: str | None = Field(
        default=None,
        description="postgresql://… of your own PostgreSQL 14 or newer; unset: an embedded one in the data folder",
    )
    listen: str = Field(
        default="127.0.0.1:8080",
        pattern=r"^(\[[0-9a-fA-F:.]+\]|[^:\s]+):\d{1,5}$",
        description="host:port of the API",
    )
    tls_certificate: Path | None = Field(default=None, description="PEM chain; needed to listen beyond loopback")
    tls_key: Path | None = Field(default=None, description="PEM key of the certificate")
    metrics_listen: str | None = Field(
        default="127.0.0.1:9750",
        pattern=r"^(\[[0-9a-fA-F:.]+\]|[^:\s]+):\d{1,5}$",
        description="host:port of /metrics, of further processes the next free ones; empty: none",
    )
    metrics_token: str | None = Field(
        default=None, min_length=16, description="what /metrics asks for; needed to have it beyond loopback"
    )
    trusted_proxies: Texts = Field(
        default=[], description="addresses whose X-Forwarded-For is believed; they end TLS in front of the API"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="least level logged")

    # the engine
    incus_socket: Path | None = Field(
        default=None, description="an Incus daemon's socket; unset: the system's, or our own under the data folder"
    )
    project: str = Field(
        default="openvps",
        pattern=r"^[a-z][a-z0-9-]{0,30}$",
        description="Incus project, and name of the storage pool",
    )
    storage_driver: Literal["btrfs", "dir", "zfs", "lvm"] = Field(
        default="btrfs", description="driver of a new storage pool; dir enforces no disk size"
    )
    storage_source: str | None = Field(
        default=None, description="a disk for the new pool, or the name of an existing pool; unset: a loop file"
    )
    storage_size_gb: int | None = Field(
        default=None, ge=5, description="size of the loop file; unset: four fifths of the free disk"
    )

    # the network
    network_mode: Literal["nat", "routed"] = Field(
        default="nat", description="nat: private addresses behind this host; routed: your own public blocks"
    )
    ipv4_pool: IPv4Network = Field(
        default=IPv4Network("10.77.0.0/22"), description="addresses for servers, /16 or smaller"
    )
    ipv6_pool: IPv6Network | None = Field(
        default=None, description="a /64 or larger for servers; unset: a private one in nat mode, none in routed mode"
    )
    ipv4_gateway: str | None = Field(default=None, description="routed: the block's router, if not the host's own")
    ipv6_gateway: str | None = Field(
        default=None, description="routed: the IPv6 block's router, if not the host's own"
    )
    reserved_addresses: Texts = Field(default=[], description="addresses and ranges (CIDR) never given to servers")
    network_parent: str | None = Field(
        default=None, description="routed: the uplink on which the host answers for the servers' addresses"
    )
    nic_prefix: str = Field(
        default="vps",
        pattern=NIC_PREFIX,
        description="servers' interfaces on the host are named so, with the id",
    )
    nameservers: Texts = Field(default=[], description="resolvers for servers; unset: those of this host")
    allowed_private: Texts = Field(
        default=[], description="private ranges (CIDR) that servers may reach; all others are dropped"
    )
    block_smtp: bool = Field(default=True, description="drop outgoing SMTP (TCP port 25)")
    address_rest_s: int = Field(default=3600, ge=0, description="seconds before a freed address is given out again")

    # the first location
    location_code: str = Field(
        default="us-west", pattern=r"^[a-z0-9-]{1,32}$", description="code of the first location"
    )
    location_name: str = Field(default="US West", description="its name")
    country_name: str = Field(default="United States", description="its country")
    country_code: str = Field(default="US", pattern=r"^[A-Z]{2}$", description="its country, ISO 3166-1")
    ubuntu_mirror: str | None = Field(
        default=None,
        description="an Ubuntu archive to build Ubuntu images from; unset on Ubuntu hosts: the host's own",
    )
    debian_mirror: str | None = Field(
        default=None,
        description="a Debian archive to build Debian images from; unset on Debian hosts: the host's own",
    )

    # capacity of a cell
    cpu_overcommit: float = Field(default=8.0, gt=0, description="plan vCPUs given out for each one of the host's")
    memory_overcommit: float = Field(
        default=1.0, gt=0, description="plan memory given out for each MiB of the host's"
    )
    disk_overcommit: float = Field(default=4.0, gt=0, description="plan storage given out for each GB of the pool")
    reserve_memory_mib: int = Field(default=1024, ge=0, description="memory kept for the host itself")
    reserve_disk_gb: int = Field(default=2, ge=0, description="storage of the pool kept free")

    # what servers cost and may
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$", description="the one currency, ISO 4217")
    initial_credit: int = Field(default=100, ge=0, description="credit of the first account, in whole currency units")
    hold_hours: int = Field(default=24, ge=1, description="hours of a plan's price held when a server is created")
    max_debt: int = Field(
        default=10,
        ge=0,
        description="debt that charges may run up, in whole currency units; beyond it nothing is charged",
    )
    traffic_price: Decimal = Field(
        default=Decimal("0.01"),
        ge=0,
        decimal_places=6,
        description="price of a GB of traffic beyond what a plan includes, in currency units; 0: it is free",
    )
    billing_interval_s: int = Field(
        default=60, ge=1, description="seconds between the turns that charge hours and set accounts' standing"
    )
    low_credit_hours: int = Field(
        default=72, ge=0, description="an account is told when its credit lasts for fewer hours; 0: it isn't"
    )
    grace_hours: int = Field(
        default=24, ge=0, description="hours between the end of an account's credit and its servers' suspension"
    )
    delete_after_days: int = Field(
        default=0,
        ge=0,
        description="days after which servers suspended for lack of credit are deleted, as announced; 0: never",
    )
    container_plans: Literal["operators", "everyone"] = Field(
        default="operators",
        description="who may create servers that share the host's kernel (read the security notes)",
    )
    max_servers: int = Field(default=100, ge=0, description="servers an account may have, unless its own quota says")
    max_vcpus: int = Field(default=1000, ge=0, description="vCPUs an account may have, unless its own quota says")
    creates_an_hour: int = Field(
        default=600, ge=0, description="servers an account may create in 60 minutes, unless its own quota says"
    )
    creates_at_once: int = Field(
        default=32, ge=1, description="servers made at once in a cell; further ones wait, accounts in turn"
    )
    failures_allowed: int = Field(
        default=100,
        ge=1,
        description="wrong tokens, passwords and invites that a client address may send in 10 minutes",
    )
    rate_limit: int = Field(
        default=3600, ge=0, description="requests a token gets back in an hour, evenly; 0: no limit"
    )
    rate_limit_burst: int = Field(
        default=3600, ge=1, description="requests a token may have saved up, to make at once"
    )

    # what is told
    event_days: int = Field(default=7, ge=1, le=3650, description="days that an account's events are kept")
    event_streams: int = Field(
        default=20, ge=0, description="event streams a token may have open at once, in each api process"
    )

    webhook_allowed: Texts = Field(
        default=[], description="private ranges (CIDR) that webhooks may call; all others are refused"
    )

    webhook_ca: Path | None = Field(
        default=None, description="certificates (PEM) that webhooks trust besides the system's, like a company's own"
    )

    # backups
    backup_store: str | None = Field(
        default=None,
        description="restic repository, like s3:https://host/bucket; unset: backups/store in the data folder",
    )
    backup_credentials: Path | None = Field(
        default=None, description="the store's keys, as an AWS shared credentials file that openvps-worker may read"
    )

    verify_days: int = Field(
        default=7,
        ge=0,
        le=3650,
        description="days within which each backup is restored and booted, for proof; 0: on request only",
    )
    backup_days: int = Field(default=31, ge=1, le=3650, description="days that a daily backup is kept")

    # times
    stop_grace_s: int = Field(
        default=30, ge=1, le=600, description="seconds a server has to shut down before it is cut"
    )
    sample_interval_s: int = Field(default=30, ge=5, description="seconds between looks at a cell: usage and drift")

    @field_validator(
        "trusted_proxies", "reserved_addresses", "nameservers", "allowed_private", "webhook_allowed", mode="before"
    )
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("metrics_listen", mode="before")
    @classmethod
    def _none(cls, value: object) -> object:
        return value or None

    @field_validator("reserved_addresses", "allowed_private", "webhook_allowed")
    @classmethod
    def _networks(cls, value: list[str]) -> list[str]:
        return [str(ip_network(part)) for part in value]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.ipv4_pool.prefixlen < 16:  # noqa: PLR2004 -- 65,536 rows is where one block a pool ends
            raise ValueError("ipv4_pool: /16 or smaller; add further blocks as further pools")
        if self.network_mode == "routed" and "ipv4_pool" not in self.model_fields_set:
            raise ValueError("network_mode routed needs OPENVPS_IPV4_POOL: the public block for servers")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together")
        if not self.loopback and self.tls_certificate is None and not self.trusted_proxies:
            raise ValueError(
                f"listen={self.listen}: beyond loopback a certificate (OPENVPS_TLS_CERTIFICATE, OPENVPS_TLS_KEY) "
                "or the TLS proxy's address (OPENVPS_TRUSTED_PROXIES) is needed"
            )
        metrics_host = (self.metrics_listen or "localhost:0").rpartition(":")[0].strip("[]")
        if metrics_host not in LOOPBACK and self.metrics_token is None:
            raise ValueError("metrics_listen: beyond loopback a token (OPENVPS_METRICS_TOKEN) is needed")
        return self

    @property
    def webhook_networks(self) -> list[Network]:
        """The private networks that webhooks may call."""
        return [ip_network(one) for one in self.webhook_allowed]

    @property
    def host(self) -> str:
        """The address the API listens on."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port the API listens on."""
        return int(self.listen.rpartition(":")[2])

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the API."""
        return self.host in LOOPBACK

    @property
    def base_url(self) -> str:
        """The API's address, as a customer on this machine types it."""
        return f"{'https' if self.tls_certificate else 'http'}://{self.listen}"

    def conninfo(self, role: Literal["owner", "api", "worker", "console"]) -> str:
        """Return the libpq URL for one of our processes; embedded, each has its own role."""
        if self.database_url:
            return self.database_url
        user = "openvps" if role == "owner" else f"openvps_{role}"
        return f"postgresql://{user}@/openvps?host={self.postgres_socket_dir}"

    @property
    def postgres_socket_dir(self) -> Path:
        """The folder of the embedded PostgreSQL's socket."""
        return self.data_dir / "postgres" / "run"


@cache
def load() -> Settings:
    """Read the settings once.

    Raises pydantic.ValidationError, naming each bad one.
    """
    file = Path(os.environ.get("OPENVPS_CONFIG", DEFAULT_CONFIG))
    return Settings(_env_file=file if os.access(file, os.R_OK) else None)  # pyright: ignore[reportCallIssue] -- pydantic-settings' own argument
