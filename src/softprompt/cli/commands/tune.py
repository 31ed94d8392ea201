"""`softprompt tune`: trains a soft prompt on a file, or goes on with a run."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from softprompt.cli import flags
from softprompt.cli.commands import Outcome, command
from softprompt.cli.configuration import given, run_config
from softprompt.cli.runs import show_run
from softprompt.cli.streams import waiting
from softprompt.errors import UsageError
from softprompt.locale import _, mark

__all__ = ["tune"]


@command(
    "tune",
    summary=mark("Train a soft prompt on a file, measure it beside baselines, and save it."),
    examples=(
        "softprompt tune reviews.csv --output runs/reviews",
        "softprompt tune train.tsv --input sentence --target label --output runs/sst2",
        "softprompt tune --resume runs/reviews",
    ),
)
def tune(
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA",
            show_default=False,
            help=mark("JSONL, JSON, CSV, TSV or Parquet file, or hf:NAME for a data set."),
        ),
    ] = None,
    *,
    output: Annotated[
        str | None,
        typer.Option("--output", metavar="DIR", help=mark("Folder of the run, new or empty.")),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option("--resume", metavar="DIR", help=mark("Go on with the run in this folder.")),
    ] = None,
    input_: flags.Input = None,
    target: flags.Target = None,
    template: flags.Template = None,
    choices: flags.Choices = None,
    model: flags.Model = None,
    validation: flags.Validation = None,
    test: flags.Test = None,
    placement: flags.Placement = None,
    length: flags.Length = None,
    initialisation: flags.Initialisation = None,
    population: flags.Population = None,
    ensemble: flags.Ensemble = None,
    epochs: flags.Epochs = None,
    time_budget: Annotated[
        float | None,
        typer.Option("--time-budget", metavar="SECONDS", help=mark("Training fits into it.")),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="ROWS", help=mark("Training rows at most.")),
    ] = None,
    seed: flags.Seed = None,
    slice_: flags.Slice = None,
    baselines: flags.Baselines = None,
    drop_long: flags.DropLong = False,
    drop_empty: flags.DropEmpty = False,
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
    folder, result = _resume(used) if resume is not None else _start(used)
    return Outcome(result, partial(show_run, result=result, folder=folder), as_json)


def _start(used: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    data, output = used.pop("data", None), used.pop("output", None)
    if data is None:
        raise UsageError(
            _("There is no DATA to learn from."),
            _("Write `softprompt tune DATA --output DIR`, or --resume DIR to go on with a run."),
        )
    if output is None:
        raise UsageError(
            _("There is no --output, the folder that the run is written to."),
            _("Add for example --output runs/first."),
        )
    with waiting(_("Loading ...")):
        from softprompt.cli.display import Display
        from softprompt.training import start

    config = run_config(data, used)
    with Display() as display:
        return Path(output), start(config, Path(output), display)


def _resume(used: Mapping[str, Any]) -> tuple[Path, dict[str, Any]]:
    others = [name for name in used if name != "resume"]
    if others:
        named = "DATA" if others[0] == "data" else f"--{others[0].replace('_', '-')}"
        raise UsageError(
            _("--resume goes on with the plan in the folder and takes no {name}.").format(
                name=named
            ),
            _("Leave it out, or start a new run with another --output."),
        )
    with waiting(_("Loading ...")):
        from softprompt.cli.display import Display
        from softprompt.training import resume

    folder = Path(used["resume"])
    with Display() as display:
        return folder, resume(folder, display)
