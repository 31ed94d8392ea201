"""Standard input as texts, one a line, handed on as they come.

    tail -f log | softprompt predict PROMPT

answers each line when it is there, and a whole file in large batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from softprompt.errors import DataError
from softprompt.locale import _

__all__ = ["text_batches"]

_MOST_BYTES = 1 << 16
_MARK = b"\xef\xbb\xbf"


def text_batches(stream: BinaryIO) -> Iterator[list[str]]:
    """The texts that have arrived, as often as some arrive; blank lines at the end are left out.

    Args:
        stream: a buffered binary stream.

    Raises:
        DataError: a line is empty or not UTF-8; lines before it have been handed on.
    """
    rest = b""
    number, blank = 0, 0
    for chunk in _chunks(stream):
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        texts: list[str] = []
        for line in lines:
            number += 1
            text = _decode(line, number)
            if text and blank:
                yield texts
                raise _empty(blank)
            if text:
                texts.append(text)
            else:
                blank = blank or number
        if texts:
            yield texts
    if last := _decode(rest, number + 1):
        if blank:
            raise _empty(blank)
        yield [last]


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    # read1 gives what is there and waits only where nothing is.
    read = getattr(stream, "read1", stream.read)
    while chunk := read(_MOST_BYTES):
        yield chunk


def _decode(line: bytes, number: int) -> str:
    try:
        return (line.removeprefix(_MARK) if number == 1 else line).decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise DataError(
            _("Line {n} of standard input is not UTF-8 text.").format(n=number),
            _("Convert it first, for example with iconv, or use --file with --encoding."),
        ) from error


def _empty(number: int) -> DataError:
    return DataError(
        _("Line {n} of standard input is empty.").format(n=number),
        _("Leave out empty lines: each line is one text."),
    )
