"""Which choice to give, where a metric wants another than the likeliest.

The likeliest choice makes accuracy as high as it can be. Macro-F1 counts a rare class as much as a
frequent one, and a class that is never the likeliest has an F1 of 0. So the frequencies of the
training rows are taken out of the probabilities in part, as far as rows held out say that it pays
(post-hoc logit adjustment, Menon et al. 2021, arXiv 2007.07314, with the share of it fitted).

Shapes: N rows, C choices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["best_score", "decide", "fit_adjustment"]

_SHARES = tuple(float(share) for share in np.linspace(0.0, 1.0, 11))
_SPLITS = 5
_FEWEST = 40
_SMALLEST = 1e-300

Score = Callable[[NDArray[np.int64], NDArray[np.int64]], float]
"""How good choices [N] are for right ones [N]; higher is better."""


def decide(
    probabilities_NC: NDArray[np.float64], adjustment_C: Sequence[float] | NDArray[np.float64] = ()
) -> NDArray[np.int64]:
    """[N] the place of the choice that is given for each row.

    Args:
        probabilities_NC: [N, C] of the choices.
        adjustment_C: added to their logarithms; empty for the likeliest choice.
    """
    logits_NC = np.log(probabilities_NC.clip(_SMALLEST))
    if len(adjustment_C):
        logits_NC = logits_NC + np.asarray(adjustment_C)
    return np.asarray(logits_NC.argmax(1))


def fit_adjustment(
    probabilities_NC: NDArray[np.float64],
    gold_N: Sequence[int],
    counts_C: Sequence[int],
    score: Score,
    *,
    most: float = 1.0,
) -> tuple[float, ...]:
    """What to add to the log-probability of each choice before the largest is taken.

    For choice c it is share * log(largest count / count of c). Halves of the rows choose the share
    and the other halves judge it, so that nothing is adjusted by luck; the mean of the shares that
    the halves chose is kept.

    Args:
        probabilities_NC: [N, C] of held-out rows.
        gold_N: place of the right choice of each.
        counts_C: training rows with each choice; a choice without rows counts as one.
        score: to be made as high as possible.
        most: largest share. Of probabilities at a temperature below 1 it is 1 / temperature: so
            `best_score`, which sees them at 1, promises nothing that cannot be had.

    Returns:
        one number a choice, 0 for the most frequent; empty where the likeliest choice is as good,
        where all choices are equally frequent, or where fewer than 40 rows would make it arbitrary.
    """
    whole_C = _whole(counts_C)
    gold = np.asarray(gold_N, dtype=np.int64)
    if len(gold) < _FEWEST or not whole_C.any():
        return ()
    shares_tried = tuple(most * share for share in _SHARES)
    given = {share: decide(probabilities_NC, share * whole_C) for share in shares_tried}

    def at(share: float, rows: NDArray[np.int64]) -> float:
        return score(gold[rows], given[share][rows])

    rng = np.random.default_rng(0)
    shares, ahead = [], 0.0
    for _ in range(_SPLITS):
        order = rng.permutation(len(gold))
        halves = order[: len(order) // 2], order[len(order) // 2 :]
        for choosing, judging in (halves, halves[::-1]):
            # Of equally good shares the smallest, which changes least.
            best = max(shares_tried, key=lambda share: (at(share, choosing), -share))
            shares.append(best)
            ahead += at(best, judging) - at(0.0, judging)
    if ahead <= 0:
        return ()
    return tuple(float(number) for number in np.mean(shares) * whole_C)


def best_score(
    probabilities_NC: NDArray[np.float64],
    gold_N: Sequence[int],
    counts_C: Sequence[int],
    score: Score,
) -> float:
    """The score of choices at the share that suits best.

    The mean over three neighbouring shares counts, so that a lucky row tells less. Of fewer than 40
    rows it is that of the likeliest choices: nothing is fitted to them.

    Args:
        probabilities_NC, gold_N, counts_C, score: as for `fit_adjustment`.
    """
    whole_C = _whole(counts_C)
    gold = np.asarray(gold_N, dtype=np.int64)
    if len(gold) < _FEWEST or not whole_C.any():
        return score(gold, decide(probabilities_NC))
    scores = [score(gold, decide(probabilities_NC, share * whole_C)) for share in _SHARES]
    padded = np.array([scores[0], *scores, scores[-1]])
    return float(np.lib.stride_tricks.sliding_window_view(padded, 3).mean(1).max())


def _whole(counts_C: Sequence[int]) -> NDArray[np.float64]:
    """[C] what is added where the frequencies are taken out altogether."""
    counts = np.maximum(np.asarray(counts_C, dtype=np.float64), 1.0)
    return np.asarray(np.log(counts.max() / counts))
