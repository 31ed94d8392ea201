"""General text that no task is about, in passages that are cut into halves.

What is shipped (`general.txt`) was written for this purpose, half in English and half in
Vietnamese; a file of the user's own takes its place. It does not know who reads it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from softprompt.errors import DataError, system_reason
from softprompt.evaluation import bootstrap
from softprompt.locale import _
from softprompt.tasks import normalise

__all__ = ["BUILT_IN", "change_interval", "halves", "loss_of", "passages_of"]

BUILT_IN = Path(__file__).parent / "general.txt"

_MOST_PASSAGES = 200
_MOST_WORDS = 80
_FEWEST_WORDS = 8


def passages_of(file: Path) -> list[str]:
    """The passages of a text file: what empty lines separate; lines where there are none.

    Raises:
        DataError: the file cannot be read or holds no text.
    """
    try:
        text = normalise(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(
            _("The text {file} cannot be read: {error}.").format(
                file=file, error=system_reason(error)
            ),
            _("Name a text file that can be read."),
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            _("The text {file} is not UTF-8.").format(file=file), _("Save the file as UTF-8.")
        ) from error
    parts = re.split(r"\n\s*\n", text)
    if len(parts) == 1:
        parts = text.split("\n")
    passages = [" ".join(part.split()) for part in parts if part.strip()]
    if not passages:
        raise DataError(
            _("The text {file} is empty.").format(file=file),
            _("Name a file with some passages of text."),
        )
    return passages


def halves(file: Path | None = None) -> list[tuple[str, str]]:
    """First and second halves of general passages, cut between words.

    Args:
        file: of the user's own; the built-in text where None.

    Raises:
        DataError: the file cannot be read or has no passage of at least 8 words.
    """
    found = []
    passages = passages_of(file or BUILT_IN)
    # The first ones of a sorted file are no sample of it.
    apart = max(1.0, len(passages) / _MOST_PASSAGES)
    for place in range(min(len(passages), _MOST_PASSAGES)):
        passage = passages[int(place * apart)]
        words = passage.split()[:_MOST_WORDS]
        if len(words) < _FEWEST_WORDS:
            continue
        middle = len(words) // 2
        found.append((" ".join(words[:middle]), " " + " ".join(words[middle:])))
    if not found:
        raise DataError(
            _("No passage of {file} has at least {n} words.").format(file=file, n=_FEWEST_WORDS),
            _("Name a file with longer passages."),
        )
    return found


def loss_of(nats: Sequence[float], tokens: Sequence[int]) -> float:
    """Nats per token of passages, from the nats and the tokens of each."""
    return sum(nats) / max(1, sum(tokens))


def change_interval(
    before: Sequence[float], after: Sequence[float], tokens: Sequence[int]
) -> list[float]:
    """The 95% interval of the change of the loss, by drawing the passages again.

    Args:
        before, after: nats of each passage.
        tokens: of each.

    Returns:
        two changes, in nats per token; none where a small window holds no passage.
    """
    change = np.asarray(after, float) - np.asarray(before, float)
    counts = np.asarray(tokens, float)
    if not len(change):
        return [0.0, 0.0]

    def changed(places: NDArray[np.float64]) -> float:
        drawn = places.astype(int)
        return float(change[drawn].sum() / max(1.0, counts[drawn].sum()))

    return list(bootstrap(range(len(change)), changed))
