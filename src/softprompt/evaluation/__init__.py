"""Scores from predictions and references: pure functions, libraries' formulas, plain data."""

from softprompt.evaluation.adjustment import best_score, decide, fit_adjustment
from softprompt.evaluation.calibration import fit_temperature, probabilities
from softprompt.evaluation.demands import unmet
from softprompt.evaluation.intervals import bootstrap, mcnemar, paired, swapped, wilson
from softprompt.evaluation.score import (
    default_metric,
    interval_of,
    likeliest_suits,
    score_classification,
    score_generation,
    score_rows,
    score_slices,
    value,
)

__all__ = [
    "best_score",
    "bootstrap",
    "decide",
    "default_metric",
    "fit_adjustment",
    "fit_temperature",
    "interval_of",
    "likeliest_suits",
    "mcnemar",
    "paired",
    "probabilities",
    "score_classification",
    "score_generation",
    "score_rows",
    "score_slices",
    "swapped",
    "unmet",
    "value",
    "wilson",
]
