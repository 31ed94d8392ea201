"""`softprompt models`: models worth starting with."""

from __future__ import annotations

from dataclasses import asdict

from rich.console import Console

from softprompt.cli import flags
from softprompt.cli.commands import Outcome, command
from softprompt.cli.streams import waiting
from softprompt.cli.tables import table
from softprompt.locale import _, mark, number

__all__ = ["models"]


@command(
    "models",
    summary=mark("List models worth starting with; others of the same families work as well."),
    examples=("softprompt models",),
)
def models(json: flags.Json = False) -> Outcome:
    """Runs the command."""
    with waiting(_("Loading ...")):
        from softprompt.backbones import CATALOG

    def show(console: Console) -> None:
        rows = table("--model", _("parameters"), _("download"), _("Vietnamese"), _("licence"))
        rows.columns[0].no_wrap = True
        rows.columns[4].justify = "left"
        for entry in CATALOG:
            licence = entry.licence + (" *" if entry.gated else "")
            megabytes = _("{n} MB").format(n=number(entry.megabytes))
            download = _("none") if entry.name == "nano" else megabytes
            millions = _("{n} M").format(n=number(entry.parameters / 1e6))
            known = _("yes") if entry.vietnamese else "–"
            rows.add_row(entry.name, millions, download, known, licence)
        console.print(rows)
        for entry in CATALOG:
            console.print(f"{entry.name}: {_(entry.note)}", soft_wrap=True)
        console.print()
        console.print(_("Vietnamese: whether the model's own card names it."), style="dim")
        if any(entry.gated for entry in CATALOG):
            text = _("* Its terms must be accepted on the Hugging Face Hub first.")
            console.print(text, style="dim")

    return Outcome({"models": [asdict(entry) for entry in CATALOG]}, show, json)
