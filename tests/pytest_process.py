"""Which of pytest's processes this is: they share one machine, so each has numbers of its own."""

import os

NUMBER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))  # from 0
OF = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
