"""What a finished run shows people: systems side by side, the prompt's size, what to do next."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from softprompt.cli.amounts import duration, measure_name
from softprompt.cli.tables import adherence, comparison, show_metric
from softprompt.locale import _, figure, mark, number, percent, size

__all__ = ["asked_with", "show_commands", "show_run", "systems"]

_BASELINES = {
    "majority": mark("majority guess"),
    "zero_shot": mark("best hand prompt"),
    "few_shot": mark("examples in context"),
}
_DOUBTFUL = 0.05

_STOPPED = {
    "patience": mark("Training stopped early: the score no longer rose."),
    "time": mark("Training stopped when its time was used up."),
    "interrupted": mark("Training was interrupted; the best prompt so far is kept."),
}


def systems(result: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The baselines and the soft prompt with their metrics on the test rows."""
    found = [
        (_(_BASELINES[name]) if name in _BASELINES else name, metric)
        for name, metric in result["baselines"].items()
    ]
    return [*found, (_("soft prompt"), result["test"])]


def show_run(
    console: Console, result: Mapping[str, Any], folder: Path, command: str = "tune"
) -> None:
    """What `tune` shows when it has ended.

    Args:
        console: to print on.
        result: of the run.
        folder: of the run.
        command: that goes on with it.
    """
    if note := _STOPPED.get(result["stopped"]):
        console.print(_(note))
    if result["test"] is None:
        console.print(_("On the validation rows, which chose the prompt:"))
        show_metric(console, result["validation"], result["metric"])
    else:
        console.print(_rows_of(systems(result)), style="bold")
        console.print(comparison(systems(result), result["metric"]))
        if kept := adherence(result["test"]):
            console.print(_("Answers of the soft prompt: {kept}.").format(kept=kept))
    show_population(console, result)
    show_readout(console, result)
    show_adjustment(console, result)
    if result.get("cache_loss_change") is not None:
        text = _("Packed contexts change the loss by {share} on batches of the training rows.")
        console.print(text.format(share=percent(result["cache_loss_change"], 3)))
    if result["test"] is not None and "slices" in result["test"]:
        console.print(_("`softprompt show` and `--json` have the scores by slice."), style="dim")
    console.print(
        _("{numbers} trained numbers, {bytes} saved, {time} in all.").format(
            numbers=number(result["trainable_parameters"]),
            bytes=size(result["artifact_bytes"]),
            time=duration(result["seconds"]["total"]),
        )
    )
    if result["stopped"] == "interrupted":
        show_commands(console, [["softprompt", command, "--resume", str(folder)]])
        return
    prompt = str(result["prompt"])
    show_commands(
        console,
        [
            ["softprompt", "predict", prompt, *asked_with(Path(prompt))],
            ["softprompt", "show", prompt],
        ],
    )


def _rows_of(found: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """Which rows the scores are of; what has left out longer ones is named."""
    rows = found[-1][1]["n"]
    others = [
        _("{name}: {n}").format(name=name, n=number(metric["n"]))
        for name, metric in found
        if metric["n"] != rows
    ]
    if not others:
        return _("On the same {n} test rows:").format(n=number(rows))
    return _("On {n} test rows ({others}), as far as they fit into the window:").format(
        n=number(rows), others=", ".join(others)
    )


def show_population(console: Console, result: Mapping[str, Any]) -> None:
    """Which of the prompts that trained together is kept, and how sure that is."""
    population = result["population"]
    if len(population) < 2:
        return
    best = population[0]
    text = _(
        "Of {n} prompts that trained together, the best has learning rate {rate} and began "
        "with {initialisation}; {metric} on validation rows {score}, the next {next}."
    )
    console.print(
        text.format(
            n=number(len(population)),
            rate=figure(best["learning_rate"], ".3g"),
            initialisation=best["initialisation"],
            metric=measure_name(result["metric"]),
            score=percent(best["score"] or 0.0),
            next=percent(population[1]["score"] or 0.0),
        )
    )
    kept = result["selection"]["members"]
    p_value = result["selection"]["p_value"]
    if kept > 1:
        console.print(_("Kept: {n} prompts together, their mean.").format(n=number(kept)))
    elif p_value is not None and p_value > _DOUBTFUL:
        console.print(
            _("The best two differ no more than chance would make them (p = {p}).").format(
                p=number(p_value, 2)
            )
        )


def show_readout(console: Console, result: Mapping[str, Any]) -> None:
    """Whether a readout of contexts stands beside the prompts, and what it changes."""
    found = result.get("readout")
    if found is None:
        return
    if not found["kept"]:
        console.print(_("A readout of contexts was fitted and left out: nothing is gained by it."))
        return
    text = _(
        "A readout of contexts stands beside the prompts: {metric} on validation rows {score} "
        "instead of {without}."
    )
    name = result["metric"]
    if percent(result["validation"][name]) == percent(found["validation_without"][name]):
        text = _(
            "A readout of contexts stands beside the prompts: {metric} on validation rows {score} "
            "with it and without it."
        )
    console.print(_instead(text, result, found))


def show_adjustment(console: Console, result: Mapping[str, Any]) -> None:
    """That rare labels are given more readily than their probability says, and what it changes."""
    found = result.get("adjustment")
    if found is None:
        return
    text = _(
        "Rare labels are given more readily than their probabilities say, which makes {metric} "
        "on validation rows {score} instead of {without}."
    )
    name = result["metric"]
    # A gain that rounding hides is nothing to tell.
    if percent(result["validation"][name]) != percent(found["validation_without"][name]):
        console.print(_instead(text, result, found))


def _instead(text: str, result: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """A sentence with the validation score, and what it would be without what was found."""
    name = result["metric"]
    return text.format(
        metric=measure_name(name),
        score=percent(result["validation"][name]),
        without=percent(found["validation_without"][name]),
    )


def asked_with(prompt: Path) -> list[str]:
    """What `softprompt predict` is given beside a prompt: a text, or a file where rows have several
    columns.

    Args:
        prompt: folder of the artifact.
    """
    card = json.loads((prompt / "prompt.json").read_text(encoding="utf-8"))
    inputs = card.get("task", {}).get("inputs", ())
    return ["--file", _("your-rows.csv")] if len(inputs) > 1 else [_("your text")]


def show_commands(console: Console, commands: Sequence[Sequence[str]]) -> None:
    """Command lines to paste, if any, never broken by the terminal's width."""
    if not commands:
        return
    console.print()
    console.print(_("Next:"), style="bold")
    for words in commands:
        console.print(f"  {shlex.join(words)}", soft_wrap=True)
