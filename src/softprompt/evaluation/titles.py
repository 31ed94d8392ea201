"""Measures as people call them, in the language in use. It does not know how they are computed."""

from __future__ import annotations

from softprompt.locale import _, mark

__all__ = ["MEASURES", "measure_name"]

MEASURES = {
    "accuracy": mark("accuracy"),
    "macro_f1": mark("macro-F1"),
    "exact_match": mark("exact match"),
    "token_f1": mark("token F1"),
    "chrf": mark("chrF"),
    "rouge1": mark("ROUGE-1"),
    "rougeL": mark("ROUGE-L"),
    "ece": mark("calibration error"),
    "format_adherence": mark("adherence to the format"),
    "term_adherence": mark("adherence to the terms"),
    "term_precision": mark("precision of the terms"),
}
"""English names by entry of a metric."""


def measure_name(name: str) -> str:
    """What people call a measure; an unknown one has its own name."""
    return _(MEASURES[name]) if name in MEASURES else name
