"""`softprompt compare`: the soft prompt beside other ways to do the same task."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softprompt.cli import flags
from softprompt.cli.commands import Outcome, command
from softprompt.cli.configuration import given, run_config
from softprompt.cli.streams import waiting
from softprompt.errors import UsageError
from softprompt.locale import _, mark

if TYPE_CHECKING:
    from softprompt.comparison import Comparison

__all__ = ["compare"]

Methods = Annotated[
    str | None,
    typer.Option(
        "--methods",
        metavar="LIST",
        help=mark("Methods, with commas: majority, zero_shot, few_shot, soft_prompt, lora, full."),
    ),
]
Only = Annotated[
    str | None,
    typer.Option(
        "--only",
        metavar="METHOD",
        help=mark("With --resume: measure this one, in this process, and stop."),
    ),
]


@command(
    "compare",
    summary=mark("Measure a soft prompt beside hand prompts, LoRA and full fine-tuning."),
    examples=(
        "softprompt compare reviews.csv --output runs/compared",
        "softprompt compare reviews.csv --methods zero_shot,soft_prompt,lora --output runs/three",
        "softprompt compare --resume runs/compared",
    ),
)
def compare(
    data: flags.NewData = None,
    *,
    output: flags.Output = None,
    resume: flags.Resume = None,
    methods: Methods = None,
    only: Only = None,
    input_: flags.Input = None,
    target: flags.Target = None,
    template: flags.Template = None,
    choices: flags.Choices = None,
    model: flags.Model = None,
    validation: flags.Validation = None,
    test: flags.Test = None,
    method: flags.Method = None,
    placement: flags.Placement = None,
    depth: flags.Depth = None,
    length: flags.Length = None,
    epochs: flags.Epochs = None,
    limit: flags.Limit = None,
    seed: flags.Seed = None,
    drop_long: flags.DropLong = False,
    chat: flags.Chat = None,
    delimiter: flags.Delimiter = None,
    encoding: flags.Encoding = None,
    split: flags.Split = None,
    dtype: flags.Dtype = None,
    device: flags.Device = None,
    config: flags.Config = None,
    set_: flags.Set = None,
    json: flags.Json = False,
) -> Outcome:
    """Runs the command."""
    used = {name.rstrip("_"): value for name, value in given(locals()).items()}
    as_json = bool(used.pop("json", False))
    chosen, alone = used.pop("methods", None), used.pop("only", None)
    comparison, folder = _comparison(used, chosen)
    from softprompt.comparison import compare as measure

    if alone is not None:
        from softprompt.cli.display import Display

        with Display() as display:
            comparison.measure(alone, display)
        found = comparison.report()
    else:
        found = measure(comparison, apart=partial(_apart, comparison, folder))
    return Outcome(found, partial(_show, found), as_json)


def _comparison(used: dict[str, Any], chosen: str | None) -> tuple[Comparison, Path]:
    """The comparison that is begun or goes on, and its folder.

    Raises:
        SoftPromptError: what is wrong with flags, data or folder.
    """
    with waiting(_("Loading ...")):
        from softprompt.comparison import CompareConfig, Comparison

    if "resume" in used:
        folder = Path(used.pop("resume"))
        if used or chosen:
            raise UsageError(
                _("--resume goes on with the plan in the folder and takes no {name}.").format(
                    name=", ".join(sorted(used)) or "--methods"
                ),
                _("Leave it out, or start a new run with another --output."),
            )
        return Comparison(folder), folder
    data, output = used.pop("data", None), used.pop("output", None)
    if data is None or output is None:
        raise UsageError(
            _("There is no DATA to learn from.")
            if data is None
            else _("There is no --output, the folder that the run is written to."),
            _("Write `softprompt {command} DATA --output DIR`, or --resume DIR to go on.").format(
                command="compare"
            ),
        )
    names = [name.strip() for name in (chosen or "").split(",") if name.strip()]
    how = CompareConfig(methods=tuple(names)) if names else CompareConfig()
    return Comparison.begin(Path(output), run_config(data, used), how), Path(output)


def _apart(comparison: Comparison, folder: Path, name: str) -> None:
    """Measures a method in a process of its own, so that what it takes is its own."""
    sys.stderr.write(_("Measuring {method} ...").format(method=name) + "\n")
    command = [sys.executable, "-m", "softprompt", "compare", "--resume", str(folder)]
    done = subprocess.run(
        [*command, "--only", name, "--json"], check=False, stdout=subprocess.DEVNULL
    )
    if done.returncode < 0:
        comparison.failed(name, f"ended by signal {-done.returncode}, perhaps for lack of memory")
    elif done.returncode > 0:
        comparison.failed(name, f"ended with exit code {done.returncode}")


def _show(found: dict[str, Any], console: Any) -> None:
    from softprompt.cli.comparison import show_comparison

    show_comparison(console, found)
