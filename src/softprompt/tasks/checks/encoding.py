"""Text that was decoded wrongly somewhere on its way, and text that is not in NFC."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from softprompt.locale import _, ngettext
from softprompt.tasks.evidence import CHECKS, Evidence, Problem

__all__ = ["encoding"]

# Characters that cp1252 or Latin-1 makes of the bytes of UTF-8: a lead byte, then others.
_SUSPECT = re.compile(
    r"[\u00c2-\u00f4][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e"
    r"\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122]+"
)
_LOST = re.compile("\ufffd|[\u0001-\u0008\u000b\u000c\u000e-\u001b\u007f-\u009f]")


@CHECKS.register("encoding")
def encoding(evidence: Evidence) -> Iterator[Problem]:
    """Warnings for UTF-8 read as Western European, for lost characters, and for mended NFC."""
    yield from _not_composed(evidence)
    for _part, row in evidence.rows():
        for name in dict.fromkeys((*evidence.parts.layout.inputs, *_target(evidence))):
            cause = _damage(row.columns[name])
            if cause:
                yield Problem(
                    "encoding",
                    "warning",
                    cause,
                    _("Export the file again as UTF-8 from where the text is still whole."),
                    row.source,
                    row.number,
                    name,
                )


def _target(evidence: Evidence) -> tuple[str, ...]:
    return () if evidence.parts.layout.target is None else (evidence.parts.layout.target,)


def _damage(text: str) -> str:
    for match in _SUSPECT.finditer(text):
        meant = _read_again(match.group())
        if meant:
            return _("The letters {letters!r} are likely {meant!r}, decoded wrongly.").format(
                letters=match.group(), meant=meant
            )
    lost = _LOST.search(text)
    if lost:
        return _("The character {character} stands where one was lost or mistaken.").format(
            character=f"U+{ord(lost.group()):04X}"
        )
    return ""


def _read_again(letters: str) -> str:
    """What the letters' bytes mean as UTF-8, or nothing; cp1252 leaves five bytes to Latin-1."""
    content = b""
    for letter in letters:
        try:
            content += letter.encode("cp1252")
        except UnicodeEncodeError:
            if ord(letter) > 255:
                return ""
            content += letter.encode("latin-1")
    for end in range(len(content), 1, -1):  # what follows the letter may be a sign of its own
        try:
            return content[:end].decode("utf-8")
        except UnicodeDecodeError:
            continue
    return ""


def _not_composed(evidence: Evidence) -> Iterator[Problem]:
    """Counts the cells that reading brought to NFC, by file and column."""
    for table in evidence.parts.tables.values():
        for name in dict.fromkeys((*evidence.parts.layout.inputs, *_target(evidence))):
            numbers = [
                number
                for number, record in enumerate(table.records, start=1)
                if isinstance(value := record.get(name), str)
                and not unicodedata.is_normalized("NFC", value)
            ]
            if numbers:
                yield Problem(
                    "encoding",
                    "warning",
                    ngettext(
                        "Not in Unicode NFC: {n} text, brought to it wherever it is read.",
                        "Not in Unicode NFC: {n} texts, brought to it wherever it is read.",
                        len(numbers),
                    ).format(n=len(numbers)),
                    _("Nothing has to be done."),
                    table.source,
                    numbers[0],
                    name,
                )
