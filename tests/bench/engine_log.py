"""When the engine took an order and what became of it, by instance: from its own event stream."""

import json
import os
import subprocess
import threading
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from lab import Lab


class EngineLog:
    """Follows the engine's events while it is open; the moments are seconds since the epoch."""

    def __init__(self, lab: Lab) -> None:
        self.moments: dict[str, dict[str, float]] = defaultdict(dict)
        self._argv = ["incus", "--project", lab.project, "monitor", "--format=json"]
        self._argv += ["--type=lifecycle", "--type=operation"]
        self._env = {**os.environ, "INCUS_DIR": str(Path(lab.socket).parent)}

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._argv, env=self._env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._thread.join(timeout=5)

    def _follow(self) -> None:
        for line in self._process.stdout or ():
            if line.strip():
                self._note(json.loads(line))

    def _note(self, event: dict[str, Any]) -> None:
        at = datetime.fromisoformat(event["timestamp"]).timestamp()
        what: dict[str, Any] = event["metadata"]
        if event["type"] == "lifecycle":
            self._keep(what["source"], what["action"].removeprefix("instance-"), at)
        elif what["description"] == "Creating instance":
            resources: dict[str, list[str]] = what["resources"] or {}
            for url in resources.get("instances", ()):
                self._keep(url, "ordered", at)

    def _keep(self, url: str, what: str, at: float) -> None:
        """Keep the first moment of each kind."""
        self.moments[url.partition("?")[0].rpartition("/")[2]].setdefault(what, at)
