"""Logistic regression for several penalties over the same rows, for columns that go together.

    minimise over w, b:  mean over rows of -log softmax(w x + b)[right]  +  |w|^2 / (2 N penalty)

Cached values go together, so that a solver in their own directions takes hundreds of steps. In the
directions in which the rows vary, each divided by the root of what the objective curves along it
at most, 10 to 50 are enough (L-BFGS, Liu and Nocedal 1989). Nothing is lost: what of w lies across
the rows changes no score and costs penalty. The optimum is that of scikit-learn's
`LogisticRegression(C=penalty)`; for two labels that of `C=2 * penalty`, since it has one row of
weights for both of them, and here each has its own.

Shapes: N rows, F numbers of a row, K labels, R directions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

__all__ = ["logistic_path"]

_STEPS = 300
_FLAT = 1e-6
"""Share of the largest variance under which fp32 tells a direction from none no more."""

Numbers = NDArray[np.float64]


@torch.no_grad()
def logistic_path(
    values_NF: Tensor, gold_N: Tensor, penalties: Sequence[float]
) -> Iterator[tuple[Numbers, Numbers]]:
    """[K, F] weights and [K] biases at each penalty, begun where the one before ended.

    Args:
        values_NF: fp32, standardised.
        gold_N: the right label of each row, from 0 to K - 1, each at least once.
        penalties: inverse strengths, the strongest (least) first.
    """
    directions_FR, sizes_R = _directions(values_NF)
    along_NR = values_NF @ directions_FR
    rows, labels = len(values_NF), int(gold_N.max()) + 1
    weight_KR, bias_K = torch.zeros(labels, len(sizes_R)), torch.zeros(labels)
    for penalty in penalties:
        ridge = 1 / (penalty * rows)
        # No probability's variance is more than a quarter.
        scale_R = (sizes_R.square() / (4 * rows) + ridge).rsqrt()
        objective = _Objective(along_NR * scale_R, gold_N, ridge * scale_R.square())
        start = torch.cat([weight_KR / scale_R, bias_K[:, None]], 1).double()
        found = minimize(
            objective,
            start.flatten().numpy(),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": _STEPS, "gtol": 1e-5, "ftol": 1e-9},
        )
        ended = torch.from_numpy(found.x).float().view(labels, -1)
        weight_KR, bias_K = ended[:, :-1] * scale_R, ended[:, -1]
        yield (weight_KR @ directions_FR.T).double().numpy(), bias_K.double().numpy()


def _directions(values_NF: Tensor) -> tuple[Tensor, Tensor]:
    """[F, R] directions in which rows vary, of length one, and [R] the rows' length along each."""
    rows, numbers = values_NF.shape
    if rows > numbers:
        variance_R, directions_FR = torch.linalg.eigh(values_NF.T @ values_NF)
        kept = variance_R > variance_R[-1] * _FLAT
        return directions_FR[:, kept], variance_R[kept].sqrt()
    variance_R, among_NR = torch.linalg.eigh(values_NF @ values_NF.T)
    kept = variance_R > variance_R[-1] * _FLAT
    sizes_R = variance_R[kept].sqrt()
    return values_NF.T @ among_NR[:, kept] / sizes_R, sizes_R


class _Objective:
    """The objective and its gradient at [K * (R + 1)] numbers: a label's weights, then its bias."""

    def __init__(self, along_NR: Tensor, gold_N: Tensor, ridge_R: Tensor) -> None:
        self._along_NR, self._gold_N, self._ridge_R = along_NR, gold_N, ridge_R
        self._places_N = torch.arange(len(gold_N))

    def __call__(self, flat: Numbers) -> tuple[float, Numbers]:
        at = torch.from_numpy(flat).float().view(-1, self._along_NR.shape[1] + 1)
        weight_KR, bias_K = at[:, :-1], at[:, -1]
        log_NK = torch.addmm(bias_K, self._along_NR, weight_KR.T).log_softmax(1)
        pull_KR = self._ridge_R * weight_KR
        loss = (pull_KR * weight_KR).sum(dtype=torch.float64) / 2
        loss -= log_NK[self._places_N, self._gold_N].mean(dtype=torch.float64)
        error_NK = log_NK.exp_()
        error_NK[self._places_N, self._gold_N] -= 1
        error_NK /= len(error_NK)
        slope = torch.cat([error_NK.T @ self._along_NR + pull_KR, error_NK.sum(0)[:, None]], 1)
        return float(loss), slope.flatten().double().numpy()
