"""The rows of a task's three parts, read and divided but not yet judged.

`Task.from_file` refuses what is wrong with them; `check` reports it. Knows files, layouts and
splits, nothing of labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from softprompt.errors import DataError, nearest
from softprompt.locale import _, mark
from softprompt.tasks.config import TaskConfig
from softprompt.tasks.formats import read_table
from softprompt.tasks.layout import Layout, find_layout, input_layout
from softprompt.tasks.rows import Row, make_rows
from softprompt.tasks.splits import carve
from softprompt.tasks.table import Table

__all__ = ["PART_NAMES", "Parts", "RowFile", "read_parts", "read_rows"]

PART_NAMES = (mark("train"), mark("validation"), mark("test"))


@dataclass(frozen=True)
class Parts:
    """Rows by part, each in file order, and the tables that they were read from.

    `tables` and `hashes` are by file name; `hashes` holds hexadecimal SHA-256 digests.
    """

    layout: Layout
    train: tuple[Row, ...]
    validation: tuple[Row, ...]
    test: tuple[Row, ...]
    tables: Mapping[str, Table]
    hashes: Mapping[str, str]

    def __iter__(self) -> Iterator[tuple[str, tuple[Row, ...]]]:
        return iter(zip(PART_NAMES, (self.train, self.validation, self.test), strict=True))


@dataclass(frozen=True)
class RowFile:
    """The rows of one file, for a prompt that is already trained."""

    rows: tuple[Row, ...]
    columns: tuple[str, ...]
    digest: str


def read_parts(data: str | Path, config: TaskConfig) -> Parts:
    """Reads the data and, where given, the validation and test files.

    A part that has a file of its own is not carved out of the data.

    Raises:
        DataError: a file cannot be read, or a column is absent or left open.
    """
    table = read_table(data, config)
    layout = find_layout(table, config)
    tables = {str(data): table}
    rows = make_rows(table, layout)
    train, validation, test = carve(
        rows,
        layout.inputs,
        validation_share=0.0 if config.validation else config.validation_share,
        test_share=0.0 if config.test else config.test_share,
    )
    if config.validation:
        tables[config.validation] = _same_columns(config.validation, layout, config)
        validation = make_rows(tables[config.validation], layout)
    if config.test:
        tables[config.test] = _same_columns(config.test, layout, config)
        test = make_rows(tables[config.test], layout)
    named = _by_name(tables)
    hashes = {name: table.digest for name, table in named.items()}
    return Parts(layout, train, validation, test, named, hashes)


def read_rows(
    path: str | Path,
    *,
    inputs: Sequence[str],
    target: str | None = None,
    config: TaskConfig | None = None,
) -> RowFile:
    """Reads rows for evaluation or prediction, with columns known from a saved prompt.

    Args:
        path: any file that a task can be read from.
        inputs: the input columns.
        target: the answer's column; where the file has none, rows have the answer None.
        config: delimiter, encoding and split.

    Raises:
        DataError: the file cannot be read, or an input column is absent.
    """
    table = read_table(path, config or TaskConfig())
    rows = make_rows(table, input_layout(table, inputs, target))
    return RowFile(rows, table.columns, table.digest)


def _same_columns(path: str, layout: Layout, config: TaskConfig) -> Table:
    table = read_table(path, config)
    for name in (*layout.inputs, layout.target, config.slice):
        if name is not None and name not in table.columns:
            raise DataError(
                _("{source} has no column {name!r}, which the training data has.").format(
                    source=table.source, name=name
                ),
                nearest(name, table.columns),
            )
    return table


def _by_name(tables: Mapping[str, Table]) -> dict[str, Table]:
    """Tables by file name, or by address where two files share a name."""
    names = [table.source for table in tables.values()]
    return {
        table.source if names.count(table.source) == 1 else address: table
        for address, table in tables.items()
    }
