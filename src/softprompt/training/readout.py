"""Fits a readout (see `softprompt.prompts.readout`) to the contexts of a run.

Logistic regression (`softprompt.training.logistic`) over what the cache already holds: one convex
fit for each of a few penalties, the strongest first, until the validation rows find one worse than
the one before. It knows nothing of the prompts that it stands beside.

Shapes: N rows, C choices, F numbers read of a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax

from softprompt.evaluation import fit_temperature
from softprompt.inference import Answers, Contexts, Encoded, suited_score
from softprompt.prompts.readout import Readout, numbers_read, read_values
from softprompt.training.logistic import logistic_path
from softprompt.training.reporters import Reporter
from softprompt.training.setup import Setup

__all__ = ["Fitted", "fit_readout"]

PENALTIES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
"""Inverse strengths that are tried, for standardised numbers; the likeliest one is kept."""
MOST_NUMBERS = 40_000_000
"""Numbers of training rows that are fitted at most, 160 MB; further rows are left out."""
_NEVER = -30.0

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Fitted:
    """A readout and what it says of the validation rows.

    Args:
        readout: its scores divided by the temperature that suits it.
        validation_NC: [N, C] its log-scores of the validation rows.
        score: on the validation rows, alone.
    """

    readout: Readout
    validation_NC: NDArray[np.float64]
    score: float


def fit_readout(
    setup: Setup,
    train: Encoded,
    validation: Encoded,
    contexts: tuple[Contexts, Contexts],
    reporter: Reporter,
) -> Fitted | None:
    """A readout of the training rows' contexts.

    Args:
        setup: whose `readout` setting says whether one is wanted.
        train, validation: rows with answers.
        contexts: of both.
        reporter: hears of progress.

    Returns:
        None where none is wanted or possible, or where all training rows have one label.
    """
    if setup.training.readout == "off" or setup.readout_obstacle is not None:
        return None
    reporter.stage("readout", {"rows": len(train.rows)})
    labels = setup.task.labels
    gold = np.array([labels.index(str(row.answer)) for row in train.rows])
    if len(set(gold.tolist())) < 2:
        return None
    most = MOST_NUMBERS // numbers_read(setup.backbone)
    chosen = drawn(gold, most, setup.training.seed)
    values_NF, gold = _values(setup, contexts[0], chosen), gold[chosen]
    # All of them: every validation row is scored with the readout that is kept.
    held_NF = _values(setup, contexts[1], range(len(validation.rows)))
    mean_F, size_F = values_NF.mean(0, np.float64), values_NF.std(0, np.float64)
    size_F[size_F == 0] = 1.0
    values_NF -= mean_F.astype(np.float32)
    values_NF /= size_F.astype(np.float32)
    right = np.array([labels.index(str(row.answer)) for row in validation.rows])
    never = ~np.isin(np.arange(len(labels)), gold)
    tried: list[tuple[float, Numbers, Numbers, Numbers]] = []
    for rows_CF, biases_C in _path(values_NF, gold, len(labels)):
        # In numbers as they are cached.
        weight_CF = rows_CF / size_F
        bias_C = biases_C - weight_CF @ mean_F
        scores_NC = held_NF @ weight_CF.T + bias_C
        known = ~never[right]
        temperature = fit_temperature(scores_NC[None, known], right[known].tolist())
        weight_CF, bias_C = weight_CF / temperature, bias_C / temperature
        # However uncertain it is of the others.
        bias_C[never] = _NEVER
        scores_NC = held_NF @ weight_CF.T + bias_C
        likelihood = log_softmax(scores_NC, axis=-1)[np.arange(len(right)), right]
        tried.append((float(likelihood.mean()), weight_CF, bias_C, scores_NC))
        reporter.progress(len(tried), len(PENALTIES))
        if len(tried) > 1 and tried[-1][0] < tried[-2][0]:
            break
    # The likelihood tells more of few rows than the metric does.
    _, weight_CF, bias_C, scores_NC = max(tried, key=lambda one: one[0])
    score = suited_score(setup.task, validation, _alone(labels, scores_NC), setup.metric)
    readout = Readout(
        torch.tensor(weight_CF, dtype=torch.float32), torch.tensor(bias_C, dtype=torch.float32)
    )
    return Fitted(readout, scores_NC, score)


def drawn(gold_N: NDArray[np.int64], most: int, seed: int) -> list[int]:
    """Places of at most so many rows, in their order: of each label its share, and one at least.

    Args:
        gold_N: label of each row.
        most: how many.
        seed: that draws.
    """
    rank_N = np.empty(len(gold_N))
    shuffled = np.random.default_rng(seed).permutation(len(gold_N))
    for label in np.unique(gold_N):
        members = shuffled[gold_N[shuffled] == label]
        rank_N[members] = np.arange(len(members)) / len(members)
    chosen: list[int] = np.sort(np.argsort(rank_N, kind="stable")[:most]).tolist()
    return chosen


def _values(setup: Setup, contexts: Contexts, wanted: Sequence[int]) -> NDArray[np.float32]:
    """[N, F] what is read of some rows, in their order."""
    found: dict[int, NDArray[np.float32]] = {}
    chosen = set(wanted)
    for number, rows in enumerate(contexts.buckets):
        if not chosen.isdisjoint(rows):
            values_BF = read_values(setup.backbone, contexts.bucket(number)).numpy()
            found |= {row: values_BF[place] for place, row in enumerate(rows) if row in chosen}
    return np.stack([found[row] for row in wanted])


def _path(
    values_NF: NDArray[np.float32], gold_N: NDArray[np.int64], choices: int
) -> Iterator[tuple[Numbers, Numbers]]:
    """[C, F] weights and [C] biases at each penalty.

    A choice without rows is as good as never given.
    """
    given, label_N = np.unique(gold_N, return_inverse=True)
    values, labels = torch.from_numpy(values_NF), torch.from_numpy(label_N)
    for rows, biases in logistic_path(values, labels, PENALTIES):
        weight_CF = np.zeros((choices, values_NF.shape[1]))
        bias_C = np.full(choices, _NEVER)
        weight_CF[given], bias_C[given] = rows, biases
        yield weight_CF, bias_C


def _alone(labels: Sequence[str], scores_NC: NDArray[np.float64]) -> Answers:
    """What a readout answers by itself."""
    return Answers(labels=tuple(labels), log_scores=scores_NC[None])
