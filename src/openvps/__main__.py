"""`python -m openvps` is the `openvps` command."""

import sys

from openvps.ops.commands import main

if __name__ == "__main__":
    sys.exit(main())
