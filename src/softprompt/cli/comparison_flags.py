"""The flags of `softprompt compare` beside those that `tune` has too."""

from __future__ import annotations

from typing import Annotated

import typer

from softprompt.locale import mark

__all__ = [
    "Curve",
    "Domain",
    "DomainTarget",
    "Escalate",
    "General",
    "Methods",
    "Only",
    "Other",
    "OtherChoices",
    "OtherInput",
    "OtherTarget",
    "OtherTemplate",
    "PerHour",
    "PerKwh",
    "Watts",
]

Methods = Annotated[
    str | None,
    typer.Option(
        "--methods",
        metavar="LIST",
        help=mark(
            "Methods, with commas, or `all`: majority, own_template, zero_shot, few_shot, "
            "soft_prompt, lora_suffix, lora, lora_prompt, lora_domain_prompt, full, full_prompt."
        ),
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
Curve = Annotated[
    str | None,
    typer.Option(
        "--curve",
        metavar="32,128,...",
        help=mark("Measure with these numbers of training rows too; `all` is always measured."),
    ),
]
Escalate = Annotated[
    bool,
    typer.Option(
        "--escalate",
        metavar=" ",
        help=mark("Begin with the cheapest method; go on only while validation says it pays."),
    ),
]
Domain = Annotated[
    str | None,
    typer.Option(
        "--domain",
        metavar="FILE",
        help=mark(
            "Broad domain of lora_domain_prompt and full_prompt: labelled rows, or text (.txt)."
        ),
    ),
]
DomainTarget = Annotated[
    str | None,
    typer.Option(
        "--domain-target",
        metavar="COL",
        help=mark("The domain's answers; without --domain a column of DATA."),
    ),
]
General = Annotated[
    str | None,
    typer.Option(
        "--general", metavar="FILE", help=mark("General text that forgetting is measured on.")
    ),
]
Other = Annotated[
    str | None,
    typer.Option("--other", metavar="DATA", help=mark("Another task that may be forgotten.")),
]
OtherInput = Annotated[
    str | None,
    typer.Option("--other-input", metavar="COL", help=mark("Input columns of that task.")),
]
OtherTarget = Annotated[
    str | None,
    typer.Option("--other-target", metavar="COL", help=mark("Column of that task's answers.")),
]
OtherChoices = Annotated[
    str | None,
    typer.Option(
        "--other-choices",
        metavar="LABEL=WORDING,...",
        help=mark("What the model reads for each of its labels."),
    ),
]
OtherTemplate = Annotated[
    str | None,
    typer.Option("--other-template", metavar="T", help=mark("How that task is asked.")),
]
PerHour = Annotated[
    float | None,
    typer.Option("--price-per-hour", metavar="M", help=mark("Money for an hour of machine.")),
]
PerKwh = Annotated[
    float | None,
    typer.Option("--price-per-kwh", metavar="M", help=mark("Money for a kWh of energy.")),
]
Watts = Annotated[
    float | None,
    typer.Option(
        "--watts", metavar="W", help=mark("Watts of a busy core, where no meter is read; 10.")
    ),
]
