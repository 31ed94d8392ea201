"""What the demo tells people: the task before the run; the comparison, the sizes and a few answers
after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from softprompt.cli.amounts import duration
from softprompt.cli.runs import show_commands, systems
from softprompt.cli.tables import comparison
from softprompt.locale import _, number, percent, size
from softprompt.tasks import Task
from softprompt.tasks.text import one_line

__all__ = ["introduce", "show_demo"]


def introduce(console: Console, task: Task) -> None:
    """What is going to happen, before it does."""
    text = _(
        "A frozen language model learns to tell the sentiment of customer feedback from {rows} "
        "rows. Its weights stay as they are: only a soft prompt, a few vectors put before the "
        "answer, and a linear readout of what the model computes are trained."
    )
    console.print()
    console.print("softprompt demo", style="bold")
    console.print(text.format(rows=number(len(task.train))))
    console.print()


def show_demo(console: Console, value: Mapping[str, Any], wordings: Mapping[str, str]) -> None:
    """What came of it.

    Args:
        console: to print on.
        value: the demo's JSON object.
        wordings: of the labels, in the demo's language.
    """
    console.print()
    rows = number(value["test"]["n"])
    console.print(_("On the same {n} rows, which training never saw:").format(n=rows), style="bold")
    console.print(comparison(systems(value), value["metric"]))
    _show_sizes(console, value)
    console.print()
    console.print(_("A few of its answers:"), style="bold")
    console.print(_answers(value["examples"], wordings))
    show_commands(console, value["next"])


def _show_sizes(console: Console, value: Mapping[str, Any]) -> None:
    model = value["model"]
    text = _(
        "Trained: {what}, {numbers} numbers, saved in {bytes}. The model beside it: "
        "{parameters} numbers, {model_bytes}, unchanged."
    )
    readout = value["readout"] is not None and value["readout"]["kept"]
    what = _("{n} vectors and a readout") if readout else _("{n} vectors")
    console.print(
        text.format(
            what=what.format(n=value["vectors"]),
            numbers=number(value["trainable_parameters"]),
            bytes=size(value["artifact_bytes"]),
            parameters=number(model["parameters"]),
            model_bytes=size(model["bytes"]),
        )
    )
    seconds = value["seconds"]
    console.print(
        _("Training took {training} of {total}.").format(
            training=duration(seconds["training"]), total=duration(seconds["total"])
        )
    )


def _answers(examples: Sequence[Mapping[str, Any]], wordings: Mapping[str, str]) -> Table:
    grid = Table.grid(padding=(0, 1, 0, 0))
    for justify in ("left", "left", "right"):
        grid.add_column(no_wrap=True, justify=justify)
    grid.add_column()
    for example in examples:
        right = example["answer"] == example["label"]
        note = "" if right else _(" (right: {label})").format(label=wordings[example["label"]])
        grid.add_row(
            Text("✓" if right else "✗", style="green" if right else "red"),
            wordings[example["answer"]],
            percent(example["probability"], 0),
            Text.assemble(one_line(example["text"], 100), (note, "dim")),
        )
    return grid
