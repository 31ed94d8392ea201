"""Words by Unicode: letters with their marks, and digits, in lower case, nothing stripped.

Knows no language: in writing without spaces (Thai, Chinese) a run of letters is one word.
"""

from __future__ import annotations

import unicodedata

__all__ = ["words"]

_KEPT = ("L", "M", "N")


def words(text: str) -> list[str]:
    """The words of a text, NFC and lower case; everything but letters, marks, digits separates.

    A regular expression's `\\w` knows no combining marks and would cut Hindi words at vowel signs.
    """
    plain = unicodedata.normalize("NFC", text.lower())
    return "".join(c if unicodedata.category(c).startswith(_KEPT) else " " for c in plain).split()
