"""What prompts, aliases and tags may be called, and how a version is written: `name@3`.

A name is also a folder's name, so no name leads out of the registry. It does not know which names
are taken.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping

from softprompt.errors import UsageError

__all__ = [
    "alias_name",
    "checked_tags",
    "is_name",
    "parse_tag",
    "prompt_name",
    "split",
    "tag_name",
    "twins",
]

_MOST_LETTERS = 100
_MOST_BYTES = 200
_MOST_VALUE = 200
_SHAPE = "Letters and digits of any script, `.`, `_` and `-`, a letter or digit first; at most 100."


def is_name(text: str) -> bool:
    """Whether a prompt may be called so: the text is one, already in NFC."""
    return (
        0 < len(text) <= _MOST_LETTERS
        and len(text.encode("utf-8", "replace")) <= _MOST_BYTES
        and unicodedata.is_normalized("NFC", text)
        and text[0].isalnum()
        and text[-1] != "."
        and all(_allowed(letter) for letter in text)
    )


def prompt_name(text: str) -> str:
    """The name in NFC, so that a name looks up the same wherever it was typed.

    Raises:
        UsageError: it cannot be one.
    """
    return _checked(text, "name of a prompt")


def alias_name(text: str) -> str:
    """The alias in NFC.

    Raises:
        UsageError: it cannot be one, or it is a number and would be taken for a version.
    """
    alias = _checked(text, "alias")
    if alias.isdecimal():
        raise UsageError(
            f"{text!r} cannot be an alias: a number names a version.", "Take a word, as production."
        )
    return alias


def tag_name(text: str) -> str:
    """The name of a tag in NFC.

    Raises:
        UsageError: it cannot be one.
    """
    return _checked(text, "tag")


def parse_tag(text: str) -> tuple[str, str]:
    """Name and value of a tag written `language=vi`; a tag without `=` has the value "".

    Raises:
        UsageError: the name cannot be one, or the value is too long or not printable.
    """
    name, _, value = text.partition("=")
    value = unicodedata.normalize("NFC", value)
    if len(value) > _MOST_VALUE or not value.isprintable():
        raise UsageError(
            f"The value of the tag {name!r} is too long or not printable.",
            f"Write at most {_MOST_VALUE} printable characters.",
        )
    return tag_name(name), value


def checked_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags as they are kept.

    Raises:
        UsageError: one cannot be called so, or its value cannot be kept.
    """
    return dict(parse_tag(f"{tag}={value}") for tag, value in tags.items())


def split(reference: str) -> tuple[str, str]:
    """Name and what follows the `@`, in NFC and unchecked; "" where nothing does."""
    name, _, wanted = unicodedata.normalize("NFC", reference).partition("@")
    return name, wanted


def twins(name: str, others: Iterable[str]) -> list[str]:
    """Those of some names that readers, and many file systems, take for the same as a name.

    They differ in capitals or in other ways to write the same letters.
    """
    plainest = _plainest(name)
    return [
        each for each in others if each != name and _plainest(each) == plainest and is_name(each)
    ]


def _plainest(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _checked(text: str, what: str) -> str:
    name = unicodedata.normalize("NFC", text)
    if not is_name(name):
        shown = text if len(text) <= 2 * _MOST_LETTERS else text[:_MOST_LETTERS] + "..."
        raise UsageError(f"{shown!r} cannot be the {what}.", _SHAPE)
    return name


def _allowed(letter: str) -> bool:
    # Vowel signs of many scripts are marks and no letters.
    return letter.isalnum() or letter in "._-" or unicodedata.category(letter).startswith("M")
