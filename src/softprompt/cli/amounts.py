"""Times, sizes and names of measures as people read them."""

from __future__ import annotations

from softprompt.locale import _, mark, number

__all__ = ["duration", "measure_name", "size"]

_MEASURES = {
    "accuracy": mark("accuracy"),
    "macro_f1": mark("macro-F1"),
    "exact_match": mark("exact match"),
    "token_f1": mark("token F1"),
    "chrf": mark("chrF"),
    "rouge1": mark("ROUGE-1"),
    "rougeL": mark("ROUGE-L"),
    "ece": mark("calibration error"),
}


def duration(seconds: float) -> str:
    """Seconds as "12 s", "3 min 20 s" or "2 h 5 min"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return _("{n} s").format(n=whole)
    if whole < 3600:
        return _("{m} min {s} s").format(m=whole // 60, s=whole % 60)
    return _("{h} h {m} min").format(h=whole // 3600, m=whole % 3600 // 60)


def size(count: int) -> str:
    """Bytes as "812 B", "40 kB" or "13.8 MB" (powers of 1,000)."""
    for unit, scale in (("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)):
        if count >= scale:
            digits = 0 if unit == "kB" and count >= 10 * scale else 1
            return f"{number(count / scale, digits)} {unit}"
    return f"{number(count)} B"


def measure_name(name: str) -> str:
    """What people call a measure."""
    return _(_MEASURES[name]) if name in _MEASURES else name
