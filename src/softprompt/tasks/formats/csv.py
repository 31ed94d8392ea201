"""CSV and TSV with any delimiter, quoted or not, with or without Windows line ends."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from softprompt.errors import DataError
from softprompt.locale import _, ngettext
from softprompt.storage import sha256
from softprompt.tasks.config import TaskConfig
from softprompt.tasks.decoding import decode
from softprompt.tasks.table import READERS, Table, file_bytes, make_table
from softprompt.tasks.text import one_line

__all__ = ["read_csv"]

_CANDIDATES = (",", ";", "\t", "|")
_SAMPLE_CHARACTERS = 65536
_SAMPLE_ROWS = 50


@READERS.register(".csv")
@READERS.register(".tsv")
@READERS.register(".tab")
def read_csv(source: str, config: TaskConfig) -> Table:
    """Reads a delimited file whose first line names the columns; blank lines are skipped.

    The delimiter is the one given, else the one of , ; tab | that divides the lines most evenly,
    else the suffix's own. Quotes are taken as RFC 4180 has them; where they cannot be, and every
    line has the same number of fields, they are plain characters (GLUE's files are like that).

    Raises:
        DataError: the lines have different numbers of fields, a quote is not closed (the line is
            named), two columns have one name, or the delimiter is a wrong one.
    """
    content = file_bytes(source)
    name = Path(source).name
    text = decode(content, source=name, encoding=config.encoding)
    csv.field_size_limit(2**31 - 1)  # the default refuses long documents
    own = "," if Path(source).suffix.lower() == ".csv" else "\t"
    likely = _likely_delimiter(text, own)
    if config.delimiter is not None and likely not in {None, config.delimiter}:
        _refuse_single_column(text, config.delimiter, str(likely), name)
    delimiter = config.delimiter or likely or own
    rows = _divide(text, delimiter, name)
    if not rows:
        raise DataError(
            _("{file} is empty.").format(file=name),
            _("Put a header line and a few dozen rows into it."),
        )
    header, *records = rows
    columns = _columns(header, name)
    return make_table(
        name, [dict(zip(columns, record, strict=True)) for record in records], sha256(content)
    )


@dataclass(frozen=True)
class _Reading:
    """Records under one rule of quoting, and what is wrong with them, if anything."""

    records: list[list[str]]
    problem: DataError | None


def _divide(text: str, delimiter: str, source: str) -> list[list[str]]:
    quoted = _read(text, delimiter, csv.QUOTE_MINIMAL, source)
    if quoted.problem is None and (delimiter != "\t" or '"' not in text):
        return quoted.records
    plain = _read(text, delimiter, csv.QUOTE_NONE, source)
    if quoted.problem is None:
        # Texts hardly ever hold tabs: where quoting joins even lines, its quotes are plain marks.
        joins = plain.problem is None and len(plain.records) > len(quoted.records)
        return plain.records if joins else quoted.records
    if plain.problem is None and (delimiter == "\t" or not _has_quoted_field(plain.records)):
        return plain.records
    raise quoted.problem


def _has_quoted_field(records: list[list[str]]) -> bool:
    """Whether a quote opens and closes some field, so that quotes do mean something in the file."""
    return any(
        len(field) > 1 and field[0] == field[-1] == '"' for record in records for field in record
    )


def _read(text: str, delimiter: str, quoting: int, source: str) -> _Reading:
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        quoting=quoting,  # type: ignore[arg-type]  # the stubs want one of the constants
        strict=True,
    )
    records: list[list[str]] = []
    line = 1
    try:
        for record in reader:
            if records and record and len(record) != len(records[0]):
                return _Reading(records, _uneven(source, line, len(record), records[0], delimiter))
            if record:
                records.append(record)
            line = reader.line_num + 1
    except csv.Error as error:
        return _Reading(records, _bad_quote(source, line, reader.line_num, str(error)))
    return _Reading(records, None)


def _uneven(source: str, line: int, n: int, header: list[str], delimiter: str) -> DataError:
    return DataError(
        ngettext(
            "{source}: line {line} has {n} field, the header has {header}.",
            "{source}: line {line} has {n} fields, the header has {header}.",
            n,
        ).format(source=source, line=line, n=n, header=len(header)),
        _(
            "Put texts that hold the delimiter {delimiter} or a line break into double quotes, or"
            " name another --delimiter."
        ).format(delimiter=_shown(delimiter)),
    )


def _bad_quote(source: str, first: int, last: int, cause: str) -> DataError:
    if "unexpected end" in cause:
        return DataError(
            _(
                "{source}: a double quote that opens in the row at line {line} is never closed."
            ).format(source=source, line=first),
            _("Close it, or write a quote that belongs to the text twice, inside quotes."),
        )
    return DataError(
        _("{source}: line {line} has text after a closing double quote ({reason}).").format(
            source=source, line=last, reason=cause
        ),
        _("Write a quote that belongs to the text twice, inside quotes."),
    )


def _columns(header: list[str], source: str) -> list[str]:
    names = [one_line(name) or f"column {index}" for index, name in enumerate(header, start=1)]
    for name in names:
        if names.count(name) > 1:
            raise DataError(
                _("{source} has two columns with the name {name!r}.").format(
                    source=source, name=name
                ),
                _("Rename one; a file without a header line needs one."),
            )
    return names


def _likely_delimiter(text: str, own: str) -> str | None:
    """The delimiter that divides the first lines most evenly; None if none divides the header."""
    best: tuple[float, bool, int] | None = None
    likely = None
    for delimiter in _CANDIDATES:
        rows = _sample(text, delimiter)
        width = len(rows[0]) if rows else 0
        if width < 2:
            continue
        even = sum(len(row) == width for row in rows) / len(rows)
        score = (even, delimiter == own, width)
        if best is None or score > best:
            best, likely = score, delimiter
    return likely


def _sample(text: str, delimiter: str) -> list[list[str]]:
    part = text[:_SAMPLE_CHARACTERS]
    rows = []
    for row in csv.reader(io.StringIO(part, newline=""), delimiter=delimiter):
        if row:
            rows.append(row)
        if len(rows) > _SAMPLE_ROWS:
            break
    return rows[:-1] if len(part) < len(text) and len(rows) > 1 else rows


def _refuse_single_column(text: str, delimiter: str, likely: str, source: str) -> None:
    header = next(iter(_sample(text, delimiter)), [])
    if len(header) == 1:
        raise DataError(
            _("With the delimiter {delimiter} {source} has one column only: {column!r}.").format(
                delimiter=_shown(delimiter), source=source, column=header[0][:60]
            ),
            _(
                "The delimiter is likely {delimiter}: leave out --delimiter or name that one."
            ).format(delimiter=_shown(likely)),
        )


def _shown(delimiter: str) -> str:
    return _("tab") if delimiter == "\t" else repr(delimiter)
