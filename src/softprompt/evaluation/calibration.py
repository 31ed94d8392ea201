"""Probabilities from log-scores, with a temperature fitted on held-out rows.

Scores of several prompts become one probability each; the mean of them is the ensemble's.

Shapes: K prompts, N rows, C choices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp, softmax

__all__ = ["fit_temperature", "probabilities"]

_FEWEST = 8


def probabilities(
    log_scores_KNC: NDArray[np.float64],
    temperature: float = 1.0,
    readout_NC: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """[N, C] mean over the prompts of the softmax of log-scores divided by a temperature.

    Args:
        log_scores_KNC: [K, N, C] by prompts.
        temperature: of these.
        readout_NC: log-scores of a readout, whose softmax counts as much as that mean.
    """
    by_prompts_NC = softmax(log_scores_KNC / temperature, axis=-1).mean(0)
    if readout_NC is None:
        return np.asarray(by_prompts_NC)
    return np.asarray((by_prompts_NC + softmax(readout_NC, axis=-1)) / 2)


def fit_temperature(log_scores_KNC: NDArray[np.float64], gold_N: Sequence[int]) -> float:
    """The temperature between 0.05 and 20 under which the right choices are likeliest.

    Args:
        log_scores_KNC: [K, N, C] of held-out rows.
        gold_N: place of the right choice of each row.

    Returns:
        1.0 where fewer than 8 rows, or a single class, would make the fit arbitrary (Guo et al.
        2017, arXiv 1706.04599).
    """
    gold = np.asarray(gold_N, dtype=int)
    if len(gold) < _FEWEST or len(set(gold.tolist())) < 2:
        return 1.0

    def loss(log_temperature: float) -> float:
        log_KNC = log_softmax(log_scores_KNC / np.exp(log_temperature), axis=-1)
        right_KN = log_KNC[:, np.arange(len(gold)), gold]
        # The mean of the probabilities, taken where it cannot underflow.
        return -float(logsumexp(right_KN, axis=0).mean() - np.log(len(right_KN)))

    result = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded")
    return float(np.exp(result.x))
