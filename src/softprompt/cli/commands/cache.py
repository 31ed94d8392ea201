"""`softprompt cache`: contexts on disk, listed or removed."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console

from softprompt.cli import flags
from softprompt.cli.amounts import duration
from softprompt.cli.commands import Outcome, command
from softprompt.cli.streams import waiting
from softprompt.cli.tables import table
from softprompt.errors import UsageError, nearest
from softprompt.locale import _, mark, number, size

__all__ = ["cache"]

_ACTIONS = ("list", "clear")


@command(
    "cache",
    summary=mark("List or remove the contexts on disk, which make the next run start at once."),
    examples=("softprompt cache list", "softprompt cache clear"),
)
def cache(
    action: Annotated[
        str, typer.Argument(metavar="list|clear", help=mark("What to do."), show_default=False)
    ],
    json: flags.Json = False,
) -> Outcome:
    """Runs the command."""
    if action not in _ACTIONS:
        text = _("Unknown action {name!r}.").format(name=action)
        raise UsageError(text, nearest(action, _ACTIONS))
    with waiting(_("Loading ...")):
        from softprompt.inference.context_store import cache_folder, clear, entries

    root = cache_folder()
    found = entries(root) if root is not None else []
    freed = clear(root) if root is not None and action == "clear" else 0
    value = {
        "folder": None if root is None else str(root),
        "entries": [asdict(entry) for entry in found] if action == "list" else [],
        "freed_bytes": freed,
    }

    def show(console: Console) -> None:
        if root is None:
            console.print(_("The cache is switched off by SOFTPROMPT_CACHE=off."))
        elif action == "clear":
            console.print(_("{bytes} freed.").format(bytes=size(freed)))
        elif not found:
            console.print(_("There is nothing in {folder}.").format(folder=root), soft_wrap=True)
        else:
            rows = table(_("model"), _("precision"), _("contexts"), _("size"), _("last used"))
            for entry in found:
                ago = _("{time} ago").format(time=duration(max(1.0, time.time() - entry.used)))
                rows.add_row(
                    entry.backbone,
                    entry.precision,
                    number(entry.contexts),
                    size(entry.bytes),
                    ago,
                )
            console.print(rows)
            console.print(str(root), style="dim", soft_wrap=True)

    return Outcome(value, show, json)
