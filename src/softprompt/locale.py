"""The language that softprompt speaks: messages, plurals and numbers.

Messages are written in English in the source and looked up in a gettext catalogue whenever they
are shown, so that a change of language takes effect at once. Knows nothing of what the messages
say, nor of the language of anyone's data.
"""

from __future__ import annotations

import gettext
import os
import re
from collections.abc import Iterable
from functools import cache
from importlib import resources

__all__ = [
    "LANGUAGES",
    "_",
    "current_language",
    "figure",
    "mark",
    "ngettext",
    "number",
    "percent",
    "retold",
    "set_language",
    "size",
]

LANGUAGES = ("en", "vi")
"""Codes of the languages there are; the first is the one the source is written in."""

_VARIABLES = ("SOFTPROMPT_LANG", "LC_ALL", "LC_MESSAGES", "LANG")
# What separates thousands and decimals (Unicode CLDR, `symbols-numberSystem-latn`).
_SEPARATORS = {"en": (",", "."), "vi": (".", ",")}

_chosen: str | None = None


def set_language(code: str | None = None) -> str:
    """Chooses the language of the whole process.

    Args:
        code: "vi", "vi_VN.UTF-8" and the like; an unsupported one gives English. None asks the
            environment: the first of SOFTPROMPT_LANG, LC_ALL, LC_MESSAGES and LANG that is set and
            not empty decides.

    Returns:
        The code chosen, one of `LANGUAGES`.
    """
    global _chosen  # noqa: PLW0603  (one process speaks one language)
    if code is None:
        code = next((value for name in _VARIABLES if (value := os.environ.get(name))), "")
    language = code.strip().replace("-", "_").partition(".")[0].partition("_")[0].lower()
    _chosen = language if language in LANGUAGES else LANGUAGES[0]
    return _chosen


def current_language() -> str:
    """The code of the language in use, one of `LANGUAGES`; at first that of the environment."""
    return _chosen or set_language()


def _(message: str) -> str:
    """The message in the current language, or as it is where the catalogue lacks it."""
    # The empty message is the key of a catalogue's own header.
    return _catalogue(current_language()).gettext(message) if message else ""


def ngettext(singular: str, plural: str, n: int) -> str:
    """The form of a message that suits `n` things, in the current language."""
    return _catalogue(current_language()).ngettext(singular, plural, n)


def mark(message: str) -> str:
    """The message unchanged: puts a constant into the catalogue, to be shown with `_` later."""
    return message


def retold(text: str, templates: Iterable[str]) -> str:
    """What a library says in English, in the current language.

    Args:
        text: as the library made it.
        templates: marked messages; `{name}` stands for any text, a number for one as `figure`
            shows it. The first that fits is used, and where none does, the text stays as it is.
    """
    for template in templates:
        parts = re.split(r"\{(\w+)\}", template)
        pattern = "".join(
            f"(?P<{part}>.*?)" if place % 2 else re.escape(part) for place, part in enumerate(parts)
        )
        if found := re.fullmatch(pattern, text, re.DOTALL):
            values = found.groupdict().items()
            return _(template).format(**{name: _decimal(value) for name, value in values})
    return text


def _decimal(text: str) -> str:
    """A number in a text of its own, as `figure` shows it; any other text as it is."""
    return figure(float(text), "") if re.fullmatch(r"-?\d+\.\d+", text) else text


def number(value: float, digits: int = 0) -> str:
    """A number with its thousands grouped: 12,345.6 in English, 12.345,6 in Vietnamese.

    Args:
        value: the number.
        digits: decimal places shown.
    """
    thousands, decimal = _SEPARATORS[current_language()]
    return f"{value:,.{digits}f}".translate(str.maketrans(",.", thousands + decimal))


def percent(fraction: float, digits: int = 1) -> str:
    """A fraction as a percentage: 0.612 is 61.2% in English, 61,2% in Vietnamese.

    Args:
        fraction: the value, 1.0 for all.
        digits: decimal places shown.
    """
    return f"{number(100 * fraction, digits)}%"


def figure(value: float, form: str = "g") -> str:
    """A number with as many digits as it needs: 0.003 and 1e-05 in English, 0,003 in Vietnamese.

    Args:
        value: the number; nothing is grouped.
        form: of Python's formats, the empty one for all digits.
    """
    return f"{value:{form}}".replace(".", _SEPARATORS[current_language()][1])


def size(count: int) -> str:
    """Bytes as "812 B", "40 kB" or "13.8 MB" (powers of 1,000)."""
    for unit, scale in (("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)):
        if count >= scale:
            digits = 0 if unit == "kB" and count >= 10 * scale else 1
            return f"{number(count / scale, digits)} {unit}"
    return f"{number(count)} B"


@cache
def _catalogue(language: str) -> gettext.NullTranslations:
    if language == LANGUAGES[0]:
        return gettext.NullTranslations()
    path = f"locales/{language}/LC_MESSAGES/softprompt.mo"
    with (resources.files("softprompt") / path).open("rb") as file:
        return gettext.GNUTranslations(file)
