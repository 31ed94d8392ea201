"""Which rows train, which select and which test, and which of them are drawn.

A row's part follows from its input text alone, so that duplicates stay together and rows that are
added later move nobody. Knows nothing of labels' meaning or of files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from softprompt.errors import ConfigError
from softprompt.locale import _
from softprompt.tasks.rows import Row, input_text
from softprompt.tasks.text import normalise

__all__ = ["carve", "draw", "position"]

Rows = tuple[Row, ...]


def position(text: str, salt: str = "") -> float:
    """The text's place in [0, 1): the first 53 bits of its SHA-256 as a fraction.

    The text is brought to NFC and stripped first.
    """
    digest = hashlib.sha256((salt + normalise(text)).encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def carve(
    rows: Rows, inputs: Sequence[str], *, validation_share: float, test_share: float
) -> tuple[Rows, Rows, Rows]:
    """Train, validation and test rows, each in file order.

    The test rows lie at [0, test_share) of the hash, the validation rows at the other end, so that
    a change of one share moves no row between the other two parts and the other's border stays.
    """
    parts: tuple[list[Row], list[Row], list[Row]] = ([], [], [])
    for row in rows:
        place = position(input_text(row, inputs))
        part = 2 if place < test_share else 1 if place >= 1 - validation_share else 0
        parts[part].append(row)
    return tuple(parts[0]), tuple(parts[1]), tuple(parts[2])


def draw(
    rows: Rows, inputs: Sequence[str], *, limit: int | None, seed: int, by_label: bool
) -> Rows:
    """At most `limit` rows, drawn by the seed, in file order.

    The draw is stable: rows that are added later displace only as many as they are. By label, two
    rows of each label are drawn first, so that a small draw loses no label.

    Raises:
        ConfigError: the limit is too small to hold two rows of each label.
    """
    if limit is None or limit >= len(rows):
        return rows
    ranked = sorted(
        range(len(rows)),
        key=lambda index: (position(input_text(rows[index], inputs), f"{seed}\x1f"), index),
    )
    first: list[int] = []
    if by_label:
        taken: dict[str | None, int] = {}
        for index in ranked:
            answer = rows[index].answer
            taken[answer] = taken.get(answer, 0) + 1
            if taken[answer] <= 2:
                first.append(index)
        if len(first) > limit:
            raise ConfigError(
                _("A limit of {limit} rows cannot hold two rows of each of {n} labels.").format(
                    limit=limit, n=len(taken)
                ),
                _("Use a limit of at least {n}.").format(n=len(first)),
            )
    reserved = set(first)
    rest = [index for index in ranked if index not in reserved]
    return tuple(rows[index] for index in sorted([*first, *rest[: limit - len(first)]]))
