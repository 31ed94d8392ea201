"""`softprompt predict`: a prompt's answers to texts, to a file, or to standard input."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from softprompt.cli import flags
from softprompt.cli.commands import Outcome, command
from softprompt.cli.streams import waiting
from softprompt.errors import UsageError
from softprompt.locale import _, mark

__all__ = ["predict"]


@command(
    "predict",
    summary=mark("Answer texts, a file, or the lines of standard input."),
    examples=(
        'softprompt predict runs/reviews/prompt "the soup was cold"',
        "softprompt predict runs/reviews/prompt --file new.csv --output answered.csv",
        "cat texts.txt | softprompt predict runs/reviews/prompt --abstain-below 0.8",
    ),
)
def predict(
    prompt: flags.Prompt,
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", show_default=False, help=mark("Texts to answer.")),
    ] = None,
    *,
    file: Annotated[
        str | None,
        typer.Option("--file", metavar="F", help=mark("File whose rows are answered.")),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", metavar="G", help=mark("File to write: CSV, TSV, JSONL, JSON.")),
    ] = None,
    template: flags.Template = None,
    choices: flags.Choices = None,
    abstain_below: Annotated[
        float | None,
        typer.Option(
            "--abstain-below", metavar="P", help=mark("Leave less probable answers empty; 0 to 1.")
        ),
    ] = None,
    model: flags.PromptModel = None,
    delimiter: flags.Delimiter = None,
    encoding: flags.Encoding = None,
    split: flags.Split = None,
    device: flags.Device = None,
    json: flags.Json = False,
) -> Outcome | None:
    """Runs the command."""
    _check_flags(texts, file, output, abstain_below)
    with waiting(_("Loading ...")):
        from softprompt.cli.answering import Answering
        from softprompt.cli.prompt_rows import file_settings
        from softprompt.cli.prompt_use import load_predictor, load_prompt

        loaded = load_prompt(prompt, template=template, choices=choices)
        if abstain_below is not None and not loaded.task.choices:
            raise UsageError(
                _("--abstain-below needs answers with probabilities; this prompt writes freely."),
                _("Leave it out."),
            )
        settings = file_settings(delimiter=delimiter, encoding=encoding, split=split)
        answering = Answering(abstain_below)
        rows = answering.read(file, loaded.task, settings) if file is not None else None
        predictor = load_predictor(loaded, model=model, device=device)
    if rows is not None:
        return answering.file(predictor, rows, str(file), output, as_json=json)
    if texts:
        return answering.texts(predictor, texts, as_json=json)
    return answering.lines(predictor, as_json=json)


def _check_flags(
    texts: Sequence[str] | None, file: str | None, output: str | None, abstain_below: float | None
) -> None:
    from softprompt.cli.answer_file import suffix_of

    if abstain_below is not None and not 0 <= abstain_below <= 1:
        raise UsageError(
            _("--abstain-below cannot be {value}.").format(value=abstain_below),
            _("It is a probability, 0 to 1."),
        )
    if texts and file is not None:
        raise UsageError(
            _("Texts and --file are both given."), _("Give the texts, or the file, not both.")
        )
    if output is not None:
        if file is None:
            raise UsageError(
                _("--output needs --file, whose columns it keeps."),
                _("Redirect standard output instead: > {output}").format(output=output),
            )
        suffix_of(output)
        if Path(output).exists() and Path(output).samefile(file):
            raise UsageError(
                _("--output would replace the file that is read, {file}.").format(file=file),
                _("Name another file."),
            )
    if not texts and file is None and sys.stdin.isatty():
        raise UsageError(
            _("There is nothing to answer."),
            _("Give texts, a file with --file, or lines through a pipe."),
        )
