"""`softprompt tune`: trains a soft prompt on a file, or goes on with a run."""

from __future__ import annotations

from functools import partial

from softprompt.cli import flags
from softprompt.cli.commands import Outcome, command
from softprompt.cli.configuration import given
from softprompt.cli.launch import launch
from softprompt.cli.runs import show_run
from softprompt.locale import mark

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
    data: flags.NewData = None,
    *,
    output: flags.Output = None,
    resume: flags.Resume = None,
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
    population: flags.Population = None,
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
    folder, result = launch("tune", used)
    return Outcome(result, partial(show_run, result=result, folder=folder), as_json)
