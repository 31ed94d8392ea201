"""The texts that nothing may learn from: those of a task's validation and test rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

__all__ = ["HeldOut", "words"]

_FEWEST_WORDS = 4
"""Shorter texts are everybody's: they are told by the whole row alone."""
_RUN_WORDS = 8


def words(text: str) -> str:
    """A text whose white space does not tell it from the same words in another file."""
    return " ".join(text.split())


class HeldOut:
    """Some texts, and whether another is one of them or has some of one.

    A long text is told by runs of eight words, so that it is found where a file has its paragraphs,
    or one of its columns, apart. Overlap of n words in a row is how training texts are commonly
    kept clear of test texts (Brown et al. 2020, appendix C).

    Args:
        texts: of the rows.
        known: texts that may be learned from: parts that they have as well tell nothing.
    """

    def __init__(self, texts: Iterable[str], known: Iterable[str] = ()) -> None:
        texts = list(texts)
        self._texts = {words(text) for text in texts}
        self._runs = {run for text in texts for run in _runs(text)}
        counts = {len(run.split()) for run in self._runs}
        for text in known:
            self._runs.difference_update(_windows(text, counts))
        self._counts = counts
        # Whole texts by their first words, so that a passage is looked up and not compared with
        # each.
        self._begun: dict[int, dict[str, list[str]]] = {}
        for text in self._texts:
            first = text.split()[:_RUN_WORDS]
            if len(first) >= _FEWEST_WORDS:
                self._begun.setdefault(len(first), {}).setdefault(" ".join(first), []).append(text)

    def __contains__(self, text: str) -> bool:
        return words(text) in self._texts

    def within(self, passage: str) -> bool:
        """Whether a passage is one of the texts or has one in it, a line of one, of four words at
        least, or fifteen words in a row of a line."""
        if passage in self or any(run in self._runs for run in _windows(passage, self._counts)):
            return True
        spaced = f" {words(passage)} "
        return any(
            f" {text} " in spaced
            for count, begun in self._begun.items()
            for run in _windows(passage, (count,))
            for text in begun.get(run, ())
        )


def _runs(text: str) -> Iterator[str]:
    """Eight words after the other of each line, the last eight among them; shorter lines whole."""
    for line in text.splitlines():
        parts = line.split()
        if len(parts) >= _FEWEST_WORDS:
            last = max(0, len(parts) - _RUN_WORDS)
            for start in {*range(0, last, _RUN_WORDS), last}:
                yield " ".join(parts[start : start + _RUN_WORDS])


def _windows(text: str, counts: Iterable[int]) -> Iterator[str]:
    """All runs of so many words."""
    parts = text.split()
    for count in counts:
        for start in range(len(parts) - count + 1):
            yield " ".join(parts[start : start + count])
