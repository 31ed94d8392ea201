"""`softprompt export`: a prompt in the format of another library."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from softprompt.cli import flags
from softprompt.cli.commands import Outcome, command
from softprompt.cli.streams import waiting
from softprompt.errors import UsageError, nearest
from softprompt.locale import _, mark

if TYPE_CHECKING:
    from softprompt.prompts import SoftPrompt

__all__ = ["export"]

_FORMATS = ("peft", "vllm")


@command(
    "export",
    summary=mark("Write a prompt for another library or engine."),
    examples=(
        "softprompt export runs/front/prompt --to peft --output front-peft",
        "softprompt export runs/reviews/prompt --to vllm --output reviews-vllm",
    ),
)
def export(
    prompt: flags.Prompt,
    output: Annotated[
        str, typer.Option("--output", metavar="DIR", help=mark("Folder to write, new or empty."))
    ],
    to: Annotated[
        str, typer.Option("--to", metavar="FORMAT", help=mark("`peft` or `vllm`."))
    ] = "peft",
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
        from softprompt.cli.prompt_use import load_prompt

        loaded = load_prompt(prompt)
        note = _to_peft(loaded, folder, model) if to == "peft" else _to_vllm(loaded, folder)

    def show(console: Console) -> None:
        console.print(_("Written to {folder}.").format(folder=folder), soft_wrap=True)
        if note:
            console.print(_("Mind: {note}").format(note=note), soft_wrap=True)

    value = {"output": str(folder), "format": to, "note": note}
    return Outcome(value, show, json)


def _to_peft(prompt: SoftPrompt, folder: Path, model: str | None) -> str:
    """Writes PEFT's files; returns what their user has to know."""
    from softprompt.cli.prompt_use import load_predictor
    from softprompt.prompts.peft import export_peft, notes_of

    backbone = load_predictor(prompt, model=model).backbone
    export_peft(prompt, folder, backbone)
    return " ".join(notes_of(prompt, backbone))


def _to_vllm(prompt: SoftPrompt, folder: Path) -> str:
    """Writes an artifact that `serve --engine vllm` takes."""
    what = None if prompt.depth == "input" else _("depth {depth}").format(depth=prompt.depth)
    if prompt.heads or prompt.task.kind == "vectors":
        what = _("a model that does not write")
    what = what or _unserved(prompt.backbone.name)
    if what is not None:
        raise UsageError(
            _("The prompt is of {what}; vLLM takes vectors among the input of a decoder.").format(
                what=what
            ),
            _("Train one with --depth input over a decoder, or serve it with --engine own."),
        )
    prompt.without_readout().save(folder)
    if prompt.readout is None:
        return ""
    return _("The readout is left out; softprompt evaluate tells what the prompt does without it.")


def _unserved(model: str) -> str | None:
    """What of a model a vLLM server does not have; None where that cannot be read here."""
    from transformers import AutoConfig

    from softprompt.backbones.kinds import kind_of
    from softprompt.backbones.lora import is_lora

    if is_lora(model):
        return _("a model with LoRA")
    if not (Path(model) / "config.json").is_file():
        return None
    try:
        form = kind_of(AutoConfig.from_pretrained(model, trust_remote_code=False)).backbone.form
    except (OSError, ValueError):
        return None
    return None if form == "continued" else _("a model that is no decoder")
