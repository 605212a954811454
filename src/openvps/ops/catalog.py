"""What a new installation sells: the documented plans and operating systems.

Ids, sizes and names marked D in the contract are VPS.org's own; the prices of Standard and Performance, which it
documents nowhere, are ours. Rows that are there already are never changed: prices and plans are the operator's data.
"""

from uuid import NAMESPACE_URL, uuid5

from openvps.core.money import MICRO


def _plan(
    number: int, name: str, *, vcpus: int, memory_mib: int, storage_gb: int, bandwidth_gb: int, monthly: int
) -> dict[str, object]:
    return {
        "id": number,
        "name": name,
        "slug": name.lower().replace(" ", "-"),
        "kind": "container",
        "vcpus": vcpus,
        "memory_mib": memory_mib,
        "storage_gb": storage_gb,
        "bandwidth_gb": bandwidth_gb,
        "price_monthly_micro": monthly * MICRO,
        "description": f"{vcpus} vCPU, {memory_mib // 1024} GB memory, {storage_gb} GB storage; a system container.",
    }


PLANS = [
    _plan(1, "Standard VPS", vcpus=2, memory_mib=4096, storage_gb=80, bandwidth_gb=2048, monthly=10),
    _plan(2, "Performance VPS", vcpus=4, memory_mib=8192, storage_gb=160, bandwidth_gb=4096, monthly=20),
    _plan(3, "Starter VPS", vcpus=1, memory_mib=2048, storage_gb=40, bandwidth_gb=1024, monthly=5),
]


def _system(number: int, family: str, version: str, slug: str) -> dict[str, object]:
    return {
        "id": number,
        "family": family,
        "family_uuid": uuid5(NAMESPACE_URL, f"openvps:system:{family}"),
        "version": version,
        "name": f"{family} {version}",
        "slug": slug,
    }


SYSTEMS = [
    _system(3, "Debian", "12", "debian-12"),
    _system(5, "Ubuntu", "22.04 LTS", "ubuntu-22.04"),
]
