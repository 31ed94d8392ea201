"""The texts that nothing may learn from: those of a task's validation and test rows."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["HeldOut", "words"]

_FEWEST_WORDS = 4
"""Shorter texts are everybody's: they are told by the whole row alone."""
_MOST_WORDS = 8


def words(text: str) -> str:
    """A text whose white space does not tell it from the same words in another file."""
    return " ".join(text.split())


class HeldOut:
    """Some texts, and whether another is or has one of them.

    Args:
        texts: of the rows.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = {words(text) for text in texts}
        # By their first words, so that a passage is looked up and not compared with each.
        self._begun: dict[int, dict[tuple[str, ...], list[str]]] = {}
        for text in self._texts:
            first = tuple(text.split()[:_MOST_WORDS])
            if len(first) >= _FEWEST_WORDS:
                self._begun.setdefault(len(first), {}).setdefault(first, []).append(text)

    def __contains__(self, text: str) -> bool:
        return words(text) in self._texts

    def within(self, passage: str) -> bool:
        """Whether a passage has one of the texts, of four words at least, in it or is one."""
        if passage in self:
            return True
        parts = passage.split()
        spaced = f" {' '.join(parts)} "
        return any(
            f" {text} " in spaced
            for count, begun in self._begun.items()
            for start in range(len(parts) - count + 1)
            for text in begun.get(tuple(parts[start : start + count]), ())
        )
