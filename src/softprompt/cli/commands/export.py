"""`softprompt export`: a prompt in the format of another library."""

from __future__ import annotations

import json as text_json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from softprompt.cli import flags
from softprompt.cli.commands import Outcome, command
from softprompt.cli.streams import waiting
from softprompt.errors import UsageError, nearest
from softprompt.locale import _, mark

__all__ = ["export"]

_FORMATS = ("peft",)


@command(
    "export",
    summary=mark("Write a prompt in the format of another library."),
    examples=("softprompt export runs/reviews/prompt --to peft --output reviews-peft",),
)
def export(
    prompt: flags.Prompt,
    output: Annotated[
        str, typer.Option("--output", metavar="DIR", help=mark("Folder to write, new or empty."))
    ],
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help=mark("`peft`."))] = "peft",
    model: flags.PromptModel = None,
    json: flags.Json = False,
) -> Outcome:
    """Runs the command."""
    if to not in _FORMATS:
        raise UsageError(_("Unknown format {name!r}.").format(name=to), nearest(to, _FORMATS))
    folder = Path(output)
    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError(
            _("The output folder {folder} is already in use.").format(folder=folder),
            _("Name another folder, or empty this one."),
        )
    with waiting(_("Loading ...")):
        from softprompt.cli.prompt_use import load_predictor, load_prompt
        from softprompt.prompts.peft import export_peft

        loaded = load_prompt(prompt)
        predictor = load_predictor(loaded, model=model)
        export_peft(loaded, folder, predictor.backbone)
    written = sorted(folder.rglob("softprompt.json"))
    note = text_json.loads(written[0].read_text(encoding="utf-8"))["note"]

    def show(console: Console) -> None:
        console.print(_("Written to {folder}.").format(folder=folder), soft_wrap=True)
        if note:
            console.print(_("Mind: {note}").format(note=note), soft_wrap=True)

    value = {"output": str(folder), "format": to, "note": note}
    return Outcome(value, show, json)
