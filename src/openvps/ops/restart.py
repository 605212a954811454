"""Servers that `openvps down` stopped run again after the next `openvps up`.

Our own Incus remembers this itself: it shuts down with its servers and takes them up again. The system's daemon goes
on without us, so we keep the list.
"""

import json
from pathlib import Path

from openvps.core.settings import Settings
from openvps.ops import incus_project


def stop(socket: Path, settings: Settings) -> None:
    """Shut all servers down and remember which ran."""
    names = incus_project.running(socket, settings)
    _file(settings).write_text(json.dumps(names))
    incus_project.stop_all(socket, settings)


def start_again(socket: Path, settings: Settings) -> None:
    """Start the servers that `stop` stopped; before the worker looks, who would believe that they want to be."""
    if _file(settings).exists():
        incus_project.start(socket, settings, json.loads(_file(settings).read_text()))
        _file(settings).unlink()


def _file(settings: Settings) -> Path:
    return settings.data_dir / "stopped-by-down.json"
