"""`softprompt search`: tries many settings in short trainings, then trains the best ones."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from softprompt.cli import flags
from softprompt.cli.amounts import measure_name
from softprompt.cli.commands import Outcome, command
from softprompt.cli.configuration import given
from softprompt.cli.launch import launch
from softprompt.cli.runs import show_run
from softprompt.cli.tables import table
from softprompt.locale import _, figure, mark, number, percent

__all__ = ["search"]

_SHOWN = 5


@command(
    "search",
    summary=mark("Search for the best settings in short trainings, then train with them."),
    examples=(
        "softprompt search reviews.csv --output runs/searched",
        "softprompt search reviews.csv --rounds 10 --population 16 --output runs/wide",
        "softprompt search --resume runs/searched",
    ),
)
def search(
    data: flags.NewData = None,
    *,
    output: flags.Output = None,
    resume: flags.Resume = None,
    rounds: Annotated[
        int | None,
        typer.Option(
            "--rounds",
            min=1,
            metavar="N",
            help=mark("Short trainings before the run, one after another."),
        ),
    ] = None,
    population: Annotated[
        int | None,
        typer.Option(
            "--population", metavar="N", help=mark("Prompts that a round trains together.")
        ),
    ] = None,
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
    initialisation: flags.Initialisation = None,
    ensemble: flags.Ensemble = None,
    readout: flags.Readout = None,
    epochs: flags.Epochs = None,
    time_budget: flags.TimeBudget = None,
    limit: flags.Limit = None,
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
    used = given(locals())
    as_json = bool(used.pop("json", False))
    folder, result = launch("search", used, searching=True)
    return Outcome(result, partial(_show, result=result, folder=folder), as_json)


def _show(console: Console, *, result: Mapping[str, Any], folder: Path) -> None:
    """The best of what was tried, then the run as `tune` shows it."""
    trials = result.get("search", [])
    scored = [trial for trial in trials if trial["score"] is not None]
    if scored:
        text = _("Candidates tried in {rounds} rounds: {n}. The best on validation rows:")
        rounds = number(trials[-1]["round"])
        console.print(text.format(n=number(len(trials)), rounds=rounds), style="bold")
        headers = _("learning rate"), _("begins with"), _("parametrisation"), _("vectors")
        rows = table(*headers, measure_name(result["metric"]))
        for trial in sorted(scored, key=lambda trial: -float(trial["score"]))[:_SHOWN]:
            rows.add_row(
                figure(trial["learning_rate"], ".3g"),
                trial["initialisation"],
                trial["parametrisation"],
                number(trial["length"]),
                percent(trial["score"]),
            )
        console.print(rows)
    show_run(console, result, folder, "search")
