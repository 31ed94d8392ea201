"""`python -m softprompt`: the same as the command `softprompt`."""

from __future__ import annotations

import sys

from softprompt.cli import main

if __name__ == "__main__":
    sys.exit(main())
