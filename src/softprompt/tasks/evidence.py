"""What a check of the data looks at, what it says, and the register of the checks.

Knows no single check: each is a file in `checks/` that registers a function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from softprompt.errors import DataError
from softprompt.locale import _, mark, ngettext
from softprompt.registry import Registry
from softprompt.tasks.config import TaskConfig
from softprompt.tasks.labels import Kind, task_kind
from softprompt.tasks.parts import Parts
from softprompt.tasks.rows import Row, input_text, is_empty
from softprompt.tasks.template import Rendered, Slot

__all__ = ["CHECKS", "Check", "Evidence", "Problem", "Severity", "Unmet", "listed"]

Severity = Literal["error", "warning"]
Encode = Callable[[str], list[int]]
Unmet = Callable[[Sequence[str], Mapping[str, Any]], tuple[list[int], list[str]]]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong or doubtful, where it is, and what to do.

    An error is what `Task.from_file` or training refuses. `row` is the number of a record of
    `source`, None where the problem is not one row's; `column` likewise.
    """

    check: str
    severity: Severity
    cause: str
    cure: str
    source: str | None = None
    row: int | None = None
    column: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The problem as JSON values."""
        return dict(vars(self))


@dataclass(frozen=True)
class Evidence:
    """Everything that a check may look at.

    `encode` turns text into token ids and `window` is the number of tokens that the context and
    the answer may take together; both are None where no model is chosen. `render` gives a row's
    context. `unmet` gives the places of answers that do not keep to what the task demands, and the
    terms that stand in none; None where that is not looked at.
    """

    config: TaskConfig
    parts: Parts
    render: Callable[[Row], Rendered]
    encode: Encode | None = None
    window: int | None = None
    unmet: Unmet | None = None

    @property
    def kind(self) -> Kind:
        """The task's kind; classification where all answers are the same."""
        try:
            return task_kind([row.answer for row in self.parts.train if row.answer], self.config)
        except DataError:
            return "classification"

    @property
    def input_column(self) -> str:
        """The input columns as a problem names them."""
        return ", ".join(self.parts.layout.inputs)

    def text(self, row: Row) -> str:
        """The row's input alone."""
        return input_text(row, self.parts.layout.inputs)

    def rows(self) -> Iterator[tuple[str, Row]]:
        """All rows with the name of their part: train, validation, then test."""
        for name, rows in self.parts:
            for row in rows:
                yield name, row

    def full_rows(self) -> Iterator[tuple[str, Row]]:
        """The rows that have an input and an answer."""
        for name, row in self.rows():
            if row.answer is not None and not is_empty(row, self.parts.layout.inputs):
                yield name, row

    def tokens(self, row: Row) -> tuple[int, int]:
        """Tokens of the row's context (slots counted) and of its answer with the end token.

        The answer counts as it stands in the file; `encode` must be there.
        """
        assert self.encode is not None
        rendered = self.render(row)
        context = sum(
            part.length if isinstance(part, Slot) else len(self.encode(part))
            for part in rendered.parts
        )
        answer = (self.config.choices or {}).get(row.answer or "", row.answer or "")
        return context, len(self.encode(rendered.answer_prefix + answer)) + 1


Check = Callable[[Evidence], Iterable[Problem]]

CHECKS: Registry[Check] = Registry(mark("check"))


def listed(rows: Iterable[Row], most: int = 5) -> str:
    """Row numbers for a sentence: "rows 3, 8 and 12 more"; of one file, or with each file named."""
    rows = list(rows)
    one_file = len({row.source for row in rows}) == 1
    names = ", ".join(
        str(row.number) if one_file else f"{row.source} {row.number}" for row in rows[:most]
    )
    if len(rows) > most:
        names = _("{names} and {n} more").format(names=names, n=len(rows) - most)
    return ngettext("row {names}", "rows {names}", len(rows)).format(names=names)
