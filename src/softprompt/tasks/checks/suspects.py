"""Rows whose label looks wrong to a simple classifier that has not seen them.

Confident learning (Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in
Dataset Labels", JAIR 2021) on cross-validated probabilities of character n-grams, TF-IDF and
logistic regression. It needs no language's words. It lists suspects, not errors: with 3% of the
labels changed at random among 2,500 rows, half of the rows listed for AG News, 42% for UIT-VSFC and
23% for SST-2 were changed ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from softprompt.locale import _, percent
from softprompt.tasks.evidence import CHECKS, Evidence, Problem
from softprompt.tasks.rows import Row
from softprompt.tasks.splits import position

__all__ = ["suspects"]

_FOLDS = 5
_FEWEST = 20  # rows of a class, for its probability to mean something
_MOST_ROWS = 10_000  # looked at; drawn by hash
_MOST_CHARACTERS = 1_000  # read of each text
_MARGIN = 0.5  # by which another label must be more probable
_SURE = 0.8


@CHECKS.register("suspects")
def suspects(evidence: Evidence) -> Iterator[Problem]:
    """Rows of any part that a cross-validated classifier gives to another label, surest first."""
    if evidence.kind != "classification":
        return
    rows = [row for _part, row in evidence.full_rows()]
    counts = Counter(row.answer for row in rows)
    rows = [row for row in rows if counts[row.answer] >= _FEWEST]
    rows = sorted(rows, key=lambda row: position(evidence.text(row), "suspects"))[:_MOST_ROWS]
    labels = sorted({str(row.answer) for row in rows})
    if len(labels) < 2:
        return
    gold = np.array([labels.index(str(row.answer)) for row in rows])
    texts = [evidence.text(row)[:_MOST_CHARACTERS] for row in rows]
    probabilities = _cross_validated(texts, gold, len(labels))
    for index, other, margin in _confident_errors(probabilities, gold):
        if margin >= _MARGIN:
            yield _problem(evidence, rows[index], labels[other], probabilities[index, other])


def _problem(evidence: Evidence, row: Row, label: str, probability: float) -> Problem:
    return Problem(
        "suspects",
        "warning",
        _("The label {label!r} looks wrong: other rows speak for {other!r} ({share}).").format(
            label=row.answer, other=label, share=percent(probability, 0)
        ),
        _("Read the row and decide; a correct label may stay."),
        row.source,
        row.number,
        evidence.parts.layout.target,
    )


def _cross_validated(
    texts: Sequence[str], gold: NDArray[np.int64], classes: int
) -> NDArray[np.float64]:
    """Probabilities [N, C], each row's from a classifier that saw no row with its text."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    folds = [int(position(text, "fold") * _FOLDS) for text in texts]
    probabilities = np.zeros((len(texts), classes))
    for fold in range(_FOLDS):
        inside = [index for index, own in enumerate(folds) if own == fold]
        outside = [index for index, own in enumerate(folds) if own != fold]
        if not inside or len(set(gold[outside])) < 2:
            continue
        grams = TfidfVectorizer(
            analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, max_features=30_000
        )
        model = LogisticRegression(C=1.0, max_iter=200, tol=1e-3, class_weight="balanced")
        features = grams.fit_transform([texts[index] for index in outside])
        with threadpool_limits(1):  # products this small only wait for each other's threads
            model.fit(features, gold[outside])
        seen = model.predict_proba(grams.transform([texts[index] for index in inside]))
        probabilities[np.ix_(inside, model.classes_)] = seen
    return probabilities


def _confident_errors(
    probabilities: NDArray[np.float64], gold: NDArray[np.int64]
) -> list[tuple[int, int, float]]:
    """(row, likelier class, margin), the greatest margin first.

    A row counts for a class when its probability there reaches the mean that the class's own rows
    have (the threshold t_j of the paper, equation 2), or _SURE, since a classifier that is nearly
    always sure puts half of its right answers below its mean; of several the most probable.
    """
    classes = probabilities.shape[1]
    own = probabilities[np.arange(len(gold)), gold]
    thresholds = [min(own[gold == label].mean(), _SURE) for label in range(classes)]
    reaching = np.where(probabilities >= thresholds, probabilities, -1.0)
    likely = reaching.argmax(axis=1)
    margins = reaching[np.arange(len(gold)), likely] - own
    wrong = np.flatnonzero((likely != gold) & (margins > 0))
    ordered = wrong[np.argsort(-margins[wrong], kind="stable")]
    return [(int(index), int(likely[index]), float(margins[index])) for index in ordered]
