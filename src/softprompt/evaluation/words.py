"""Words by Unicode: letters with their marks and digits, in lower case, nothing stripped."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["words"]


def words(text: str) -> list[str]:
    """The words of a text, NFC and lower case; punctuation separates."""
    return re.findall(r"\w+", unicodedata.normalize("NFC", text).lower())
