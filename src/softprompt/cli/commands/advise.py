"""`softprompt advise`: which way to adapt a model suits, and why."""

from __future__ import annotations

import json as json_module
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from softprompt.cli import flags
from softprompt.cli.commands import Outcome, command
from softprompt.cli.configuration import given
from softprompt.cli.streams import waiting
from softprompt.errors import UsageError, nearest
from softprompt.locale import _, mark

__all__ = ["advise"]

Rows = Annotated[
    int | None, typer.Option("--rows", metavar="N", help=mark("Labelled rows at hand."))
]
Hardware = Annotated[
    str | None,
    typer.Option("--hardware", metavar="none|cpu|gpu", help=mark("What there is to compute on.")),
]
Tasks = Annotated[
    int | None, typer.Option("--tasks", metavar="N", help=mark("Tasks of the same model."))
]
Quality = Annotated[
    str | None,
    typer.Option("--quality", metavar="good|best", help=mark("What quality is needed.")),
]
Private = Annotated[
    str | None,
    typer.Option("--private", metavar="no|yes", help=mark("Whether texts must stay in the house.")),
]
Output = Annotated[
    str | None,
    typer.Option("--output", metavar="label|text|structured", help=mark("What comes out.")),
]
Changes = Annotated[
    str | None,
    typer.Option(
        "--changes", metavar="rarely|monthly|daily", help=mark("How often the task changes.")
    ),
]
Report = Annotated[
    str | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help=mark("report.json of a comparison, or its folder: then measurements decide."),
    ),
]


@command(
    "advise",
    summary=mark("Say which way to adapt a model suits you: by hand, soft prompt, LoRA, ..."),
    examples=(
        "softprompt advise",
        "softprompt advise --rows 300 --hardware cpu --tasks 5 --private yes",
        "softprompt advise --report runs/compared",
    ),
)
def advise(
    *,
    rows: Rows = None,
    hardware: Hardware = None,
    tasks: Tasks = None,
    quality: Quality = None,
    private: Private = None,
    output: Output = None,
    changes: Changes = None,
    report: Report = None,
    json: flags.Json = False,
) -> Outcome:
    """Runs the command."""
    used = given(locals())
    as_json = bool(used.pop("json", False))
    with waiting(_("Loading ...")):
        from softprompt.cli.advice import show_advice
        from softprompt.comparison.advice import Situation
        from softprompt.comparison.advice import advise as advice

    told = _read(Path(used.pop("report"))) if "report" in used else None
    said = {name: _checked(name, str(value)) for name, value in used.items()}
    if not used and told is None and not as_json and sys.stdin.isatty():
        said = _asked()
    found = advice(Situation(**said), told)
    return Outcome(found, partial(show_advice, found=found), as_json)


_YES_OR_NO = {"y": "yes", "n": "no", "có": "yes", "co": "yes", "không": "no", "khong": "no"}
"""What else is answered to a question of yes or no."""


def _checked(name: str, text: str) -> Any:
    """An answer as the situation holds it.

    Raises:
        UsageError: it is none of the answers there are.
    """
    from softprompt.cli.advice import QUESTIONS

    allowed = QUESTIONS[name][1]
    text = text.strip().lower()
    text = _YES_OR_NO.get(text, text) if name == "private" else text
    if not allowed:
        least = 1 if name == "tasks" else 0
        if not text.isdecimal() or int(text) < least:
            raise UsageError(
                _("--{name} cannot be {value!r}.").format(name=name, value=text),
                _("Write a whole number, {least} or more.").format(least=least),
            )
        return int(text)
    if text not in allowed:
        raise UsageError(
            _("--{name} cannot be {value!r}.").format(name=name, value=text),
            nearest(text, allowed),
        )
    return text == "yes" if name == "private" else text


def _asked() -> dict[str, Any]:
    """What somebody answers to short questions; an empty answer leaves it open."""
    from softprompt.cli.advice import QUESTIONS

    said: dict[str, Any] = {}
    for name, (question, allowed) in QUESTIONS.items():
        choices = f" ({', '.join(allowed)})" if allowed else ""
        while True:
            text = typer.prompt(f"{_(question)}{choices}", default="", show_default=False, err=True)
            if not text.strip():
                break
            try:
                said[name] = _checked(name, text)
                break
            except UsageError as error:
                typer.echo(str(error), err=True)
    return said


def _read(path: Path) -> dict[str, Any]:
    """The report of a comparison.

    Raises:
        UsageError: there is none.
    """
    file = path / "report.json" if path.is_dir() else path
    try:
        value = json_module.loads(file.read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise ValueError("a report is an object")
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            _("{file} holds no report of a comparison.").format(file=file),
            _("Give the report.json that `softprompt compare` wrote, or its folder."),
        ) from error
    return value
