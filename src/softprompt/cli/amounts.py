"""Times and names of measures as people read them."""

from __future__ import annotations

from softprompt.locale import _

__all__ = ["duration", "measure_name"]


def duration(seconds: float) -> str:
    """Seconds as "12 s", "3 min 20 s" or "2 h 5 min"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return _("{n} s").format(n=whole)
    if whole < 3600:
        return _("{m} min {s} s").format(m=whole // 60, s=whole % 60)
    return _("{h} h {m} min").format(h=whole // 3600, m=whole % 3600 // 60)


def measure_name(name: str) -> str:
    """What people call a measure."""
    # Its room imports numpy, which `--help` need not wait for.
    from softprompt.evaluation.titles import measure_name

    return measure_name(name)
