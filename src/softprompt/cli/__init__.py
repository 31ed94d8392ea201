"""The command line: one file a command in `commands/`, and what they share.

Only here does softprompt print, ask for a terminal's width or end with an exit code.
"""

from __future__ import annotations

from softprompt.cli.app import main

__all__ = ["main"]
