"""The one form in which text is read: NFC, stripped, with plain line ends.

Training, evaluation and prediction all pass through here, so that the same words always give the
same tokens. Knows nothing of files, columns or tokenizers.
"""

from __future__ import annotations

import json
import math
import unicodedata

__all__ = ["as_text", "is_blank", "is_missing", "normalise", "one_line"]


def normalise(text: str) -> str:
    """The text in Unicode NFC, with line feeds as line ends and no white space around it.

    Halves of surrogate pairs, which JSON escapes can hold and no encoding can write, become
    U+FFFD.
    """
    if any("\ud800" <= character <= "\udfff" for character in text):
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return unicodedata.normalize("NFC", text).strip()


def is_missing(value: object) -> bool:
    """Whether a cell holds nothing: None, or the not-a-number by which pandas marks a gap."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def as_text(value: object) -> str:
    """A cell of any file format as normalised text; a missing value is the empty string.

    Whole floats lose their ".0", because an integer column with a gap is stored as floats; lists
    and objects become JSON.
    """
    if is_missing(value):
        return ""
    if isinstance(value, str):
        return normalise(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list | dict | tuple):
        return normalise(json.dumps(value, ensure_ascii=False, default=str))
    return normalise(str(value))


def one_line(text: str, most: int | None = None) -> str:
    """Normalised text with single spaces only, cut to so many characters: names and messages."""
    line = " ".join(normalise(text).split())
    return line if most is None or len(line) <= most else line[: most - 1] + "…"


def is_blank(text: str) -> bool:
    """Whether nothing of the text is visible: white space, control and format characters only."""
    return all(
        character.isspace() or unicodedata.category(character) in {"Cc", "Cf"} for character in text
    )
