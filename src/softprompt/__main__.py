"""The command `softprompt`, and `python -m softprompt`."""

from __future__ import annotations

import sys

from softprompt.cli import main
from softprompt.cli.huge_pages import restart_with_huge_pages

__all__ = ["run"]


def run() -> int:
    """Runs the command line; the exit code."""
    restart_with_huge_pages()
    return main()


if __name__ == "__main__":
    sys.exit(run())
