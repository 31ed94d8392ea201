"""`softprompt check`: what is wrong or doubtful in a data set, and what a model will see of it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from softprompt.cli import flags
from softprompt.cli.commands import Outcome, command
from softprompt.cli.configuration import given, run_config
from softprompt.cli.streams import waiting
from softprompt.cli.tables import table
from softprompt.locale import _, mark, number

if TYPE_CHECKING:
    from softprompt.backbones import Backbone
    from softprompt.prompts import Example
    from softprompt.tasks.check import CheckReport
    from softprompt.tasks.labels import Kind
    from softprompt.training import RunConfig

__all__ = ["check"]

_MOST_OF_A_KIND = 3


@command(
    "check",
    summary=mark("Find what is wrong in a data set, and show what the model will see of it."),
    examples=(
        "softprompt check reviews.csv",
        "softprompt check train.tsv --input sentence --target label --test dev.tsv",
    ),
)
def check(
    data: flags.Data,
    *,
    input_: flags.Input = None,
    target: flags.Target = None,
    template: flags.Template = None,
    choices: flags.Choices = None,
    model: flags.Model = None,
    validation: flags.Validation = None,
    test: flags.Test = None,
    method: flags.Method = None,
    placement: flags.Placement = None,
    length: flags.Length = None,
    drop_empty: flags.DropEmpty = False,
    slice_: flags.Slice = None,
    chat: flags.Chat = None,
    delimiter: flags.Delimiter = None,
    encoding: flags.Encoding = None,
    split: flags.Split = None,
    config: flags.Config = None,
    set_: flags.Set = None,
    json: flags.Json = False,
) -> Outcome:
    """Runs the command."""
    used = {name.rstrip("_"): value for name, value in given(locals()).items()}
    used.pop("json", None)
    with waiting(_("Checking ...")):
        from softprompt.backbones import load_backbone

        settings = run_config(used.pop("data"), used)
        backbone_settings = settings.backbone.model_dump()
        # What is measured is text and tokens; the precision of the weights does not matter.
        backbone_settings["dtype"] = "fp32"
        backbone = load_backbone(backbone_settings.pop("model"), **backbone_settings)
        report, example = _report(settings, backbone)
    value = {**report.as_dict(), "model": backbone.identity.name, "window": backbone.window}
    show = partial(_show, report=report, backbone=backbone, example=example)
    return Outcome(value, show, json)


def _report(settings: RunConfig, backbone: Backbone) -> tuple[CheckReport, Example | None]:
    """The report, and the first row as the model gets it; None where it does not fit."""
    from softprompt.evaluation import unmet
    from softprompt.inference import chat_used
    from softprompt.prompts import Layout
    from softprompt.prompts.layout import TooLongError
    from softprompt.tasks import Template
    from softprompt.tasks.check import check as check_data

    # Slots count as part of the context that they stand in.
    template = settings.task.template
    slots = template is not None and bool(Template(template).slots)
    placement = "slots" if slots else settings.prompt.placement
    layout = Layout(backbone, placement, 0, settings.prompt.depth)

    def window(kind: Kind) -> int:
        vectors = 0 if slots else _longest(settings, choices=kind == "classification")
        return backbone.window - vectors - (backbone.bos is not None)

    report = check_data(
        settings.task,
        settings.data,
        encode=backbone.encode,
        window=window,
        chat=backbone.chat if chat_used(settings.task.chat, layout) else None,
        unmet=unmet,
    )
    if report.example is None:
        return report, None
    vectors = 0 if slots else _longest(settings, choices=bool(report.classes))
    layout = replace(layout, length=vectors)
    wording = report.example_answer.removeprefix(report.example.answer_prefix)
    try:
        # An encoder's head has a row for each choice and no wording to show.
        shown = [] if backbone.form == "pooled" else [wording]
        return report, layout.example(report.example, shown)
    except TooLongError:
        return report, None


def _longest(settings: RunConfig, *, choices: bool) -> int:
    """Vectors of the longest prompt that will be trained."""
    from softprompt.training.setup import usual_length

    training = settings.training
    several = training.lengths or (usual_length(settings.prompt, choices=choices),)
    return training.grow_to or max(several)


def _show(
    console: Console, report: CheckReport, backbone: Backbone, example: Example | None
) -> None:
    from softprompt.cli.token_view import show_tokens

    _show_rows(console, report)
    if example is not None:
        console.print(
            _("What {model} will see of the first row:").format(model=backbone.identity.name),
            style="bold",
        )
        show_tokens(console, backbone.tokenizer, example)
        console.print()
    if report.lengths:
        _show_lengths(console, report.lengths, backbone.window)
    _show_problems(console, report)


def _show_rows(console: Console, report: CheckReport) -> None:
    names = {"train": _("training"), "validation": _("validation"), "test": _("test")}
    if not report.classes:
        parts = [f"{names[name]} {number(count)}" for name, count in report.parts.items()]
        console.print(_("Rows: {parts}").format(parts=", ".join(parts)))
        return
    rows = table(_("rows"), *(names[name] for name in report.parts))
    for label in next(iter(report.classes.values())):
        rows.add_row(label, *(number(report.classes[part][label]) for part in report.parts))
    rows.add_row(_("all"), *(number(count) for count in report.parts.values()), style="bold")
    console.print(rows)


def _show_lengths(console: Console, lengths: dict[str, dict[str, float]], window: int) -> None:
    names = {"context": _("context"), "answer": _("answer"), "total": _("both")}
    rows = table(_("tokens"), _("shortest"), _("median"), "95%", _("longest"))
    for name, entry in lengths.items():
        rows.add_row(names[name], *(number(entry[k]) for k in ("min", "median", "p95", "max")))
    console.print(rows)
    text = _("The model's window holds {n} tokens, the soft prompt among them.")
    console.print(text.format(n=number(window)), style="dim")
    console.print()


def _show_problems(console: Console, report: CheckReport) -> None:
    shown: dict[str, int] = {}
    for problem in report.problems:
        shown[problem.check] = shown.get(problem.check, 0) + 1
        if shown[problem.check] > _MOST_OF_A_KIND:
            continue
        is_error = problem.severity == "error"
        mark_ = ("✗ " + _("error"), "bold red") if is_error else ("! " + _("warning"), "yellow")
        console.print(Text.assemble(mark_, _place(problem)))
        console.print(Padding(Text(problem.cause), (0, 0, 0, 2)))
        console.print(Padding(Text(f"→ {problem.cure}", style="dim"), (0, 0, 0, 2)))
    hidden = sum(max(0, count - _MOST_OF_A_KIND) for count in shown.values())
    if hidden:
        text = _("{n} more of the same kinds; --json lists all.")
        console.print(text.format(n=number(hidden)))
    errors = sum(problem.severity == "error" for problem in report.problems)
    warnings = len(report.problems) - errors
    text = _("Errors: {errors}, warnings: {warnings}.")
    console.print(
        text.format(errors=number(errors), warnings=number(warnings))
        if report.problems
        else "✓ " + _("Nothing is wrong with it."),
        style="bold",
    )


def _place(problem: Any) -> str:
    parts = [] if problem.source is None else [problem.source]
    if problem.row is not None:
        parts.append(_("row {n}").format(n=problem.row))
    if problem.column is not None:
        parts.append(_("column {name}").format(name=problem.column))
    return f"  {', '.join(parts)}" if parts else ""
