"""Answers to texts, rows of a file and lines of standard input, and how each is handed back.

Knows a predictor and what people or programs read; not the flags.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from softprompt.cli.answer_file import SUFFIXES, added_columns, render, suffix_of
from softprompt.cli.commands import Outcome
from softprompt.cli.display import counting
from softprompt.cli.lines import text_batches
from softprompt.cli.prompt_rows import PromptFile, full_rows, read
from softprompt.cli.streams import console, warn
from softprompt.errors import DataError
from softprompt.inference import Prediction, Predictor
from softprompt.locale import _, number, percent
from softprompt.prompts import PromptTask
from softprompt.storage import write_bytes
from softprompt.tasks import Row, TaskConfig, normalise

__all__ = ["Answering"]


@dataclass(frozen=True)
class Answering:
    """How answers are given.

    Args:
        abstain_below: answers of a smaller probability stay empty; None for none.
    """

    abstain_below: float | None = None

    def read(self, file: str, task: PromptTask, settings: TaskConfig) -> PromptFile:
        """The rows to answer, none of them empty.

        Raises:
            DataError: the file cannot be read, lacks a column, or has empty rows.
        """
        rows = read(file, task, settings)
        full_rows(rows)
        return rows

    def texts(self, predictor: Predictor, texts: Sequence[str], *, as_json: bool) -> Outcome:
        """Answers to texts given on the command line."""
        found = _predict(predictor, texts)
        value = {"predictions": [self._value(prediction) for prediction in found]}
        return Outcome(value, partial(self._show, texts=texts, found=found), as_json)

    def lines(self, predictor: Predictor, *, as_json: bool) -> Outcome | None:
        """Answers to standard input, printed as they come, or all at once as JSON."""
        values: list[dict[str, Any]] = []
        place = console()
        number_of_texts = 0
        for texts in text_batches(sys.stdin.buffer):
            rows = [_row(predictor, text, number_of_texts + n) for n, text in enumerate(texts, 1)]
            number_of_texts += len(texts)
            found = _predict(predictor, rows)
            if as_json:
                values += map(self._value, found)
            else:
                self._show(place, texts=texts, found=found)
                sys.stdout.flush()
        if not number_of_texts:
            raise DataError(
                _("Standard input holds no text."),
                _("Give texts, a file with --file, or lines through a pipe."),
            )
        return Outcome({"predictions": values}, lambda _: None, True) if as_json else None

    def file(
        self,
        predictor: Predictor,
        file: PromptFile,
        name: str,
        output: str | None,
        *,
        as_json: bool,
    ) -> Outcome:
        """Answers to a file's rows, written beside their columns."""
        with counting(_("Answering")) as progress:
            found = _predict(predictor, file.rows, progress)
        suffix = suffix_of(output) if output else Path(name).suffix.lower()
        content = self._content(file, found, suffix if suffix in SUFFIXES else ".jsonl")
        if output:
            write_bytes(Path(output), content.encode("utf-8", "replace"))
        abstained = sum(self._abstains(prediction) for prediction in found)
        value: dict[str, Any] = {"predictions": [self._value(prediction) for prediction in found]}
        if output:
            value["output"] = output
        value |= {"rows": len(found), "abstained": abstained}

        def show(place: Console) -> None:
            if output is None:
                sys.stdout.write(content)
                return
            text = _("Rows answered: {n}, written to {output}.")
            place.print(text.format(n=number(len(found)), output=output), soft_wrap=True)
            if self.abstain_below is not None:
                text = _("Rows with an empty answer, for want of certainty: {n}.")
                place.print(text.format(n=number(abstained)))

        return Outcome(value, show, as_json)

    def _content(self, file: PromptFile, found: Sequence[Prediction], suffix: str) -> str:
        columns = file.table.columns
        answer, probability = added_columns(columns)
        for name, original in ((answer, "answer"), (probability, "probability")):
            if name != original:
                warn(
                    _("The file has a column {original!r} already; {name!r} is added.").format(
                        original=original, name=name
                    )
                )
        records = [
            {**record, answer: self._answer(prediction), probability: prediction.probability}
            for record, prediction in zip(file.table.records, found, strict=True)
        ]
        return render(suffix, [*columns, answer, probability], records)

    def _abstains(self, prediction: Prediction) -> bool:
        chance = prediction.probability
        return self.abstain_below is not None and chance is not None and chance < self.abstain_below

    def _answer(self, prediction: Prediction) -> str:
        return "" if self._abstains(prediction) else prediction.answer

    def _value(self, prediction: Prediction) -> dict[str, Any]:
        return {
            "answer": self._answer(prediction),
            "probability": prediction.probability,
            "probabilities": dict(prediction.probabilities),
        }

    def _show(self, place: Console, *, texts: Sequence[str], found: Sequence[Prediction]) -> None:
        """On a terminal answer, probability and text; elsewhere fields between tabs."""
        width = max((len(prediction.answer) for prediction in found), default=0)
        for text, prediction in zip(texts, found, strict=True):
            answer = " ".join(self._answer(prediction).split())
            if not place.is_terminal:
                fields = [answer]
                if prediction.probability is not None:
                    fields.append(f"{prediction.probability:.4f}")
                sys.stdout.write("\t".join(fields) + "\n")
                continue
            if prediction.probability is None:
                place.print(Text.assemble((" ".join(text.split()), "dim"), " → ", (answer, "bold")))
                continue
            line = Text.assemble(
                (f"{answer or '–':<{min(width, 24)}}", "bold"),
                f"  {percent(prediction.probability):>6}  ",
                (" ".join(text.split()), "dim"),
            )
            place.print(line, overflow="ellipsis", no_wrap=True)


def _predict(
    predictor: Predictor,
    texts: Sequence[str | Row],
    progress: Callable[[int, int], None] | None = None,
) -> list[Prediction]:
    try:
        return predictor.predict(texts, progress)
    except DataError as error:
        if "--drop-long" not in error.hint:
            raise
        # Every text gets an answer here, so that none can be left out.
        raise DataError(error.message, _("Shorten the text.")) from error


def _row(predictor: Predictor, text: str, line: int) -> str | Row:
    """A line of standard input as a row that errors can name; a bare text where it is no row."""
    task = predictor.prompt.task
    source, text = _("standard input"), normalise(text)
    if task.template is None:
        return Row(source, line, {}, None, ({"role": "user", "content": text},))
    return Row(source, line, {task.inputs[0]: text}, None) if len(task.inputs) == 1 else text
