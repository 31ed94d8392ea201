"""Puts the measured results into README.md, between its markers.

python -m benchmarks.quality --json > benchmarks/results/quality.json
python -m benchmarks.readme
"""

from __future__ import annotations

import json
import re
from argparse import ArgumentParser

from benchmarks.cells import RESULTS
from benchmarks.quality import markdown

__all__ = ["block", "main", "replaced"]

README = RESULTS.parents[1] / "README.md"
_MARKERS = re.compile(r"(<!-- results: .*? -->\n).*?(<!-- /results -->)", re.DOTALL)


def block() -> str:
    """The table with what it rests on, from the stored report."""
    report = json.loads((RESULTS / "quality.json").read_text(encoding="utf-8"))
    details, machine = report["details"], report["machine"]
    points = details["points"].values()
    seeds, full = (max(len(task[side]) for task in points) for side in ("suffix", "full"))
    note = (
        "Points on whole test files (macro-F1 for UIT-VSFC, accuracy elsewhere) of "
        f"`{details['model']}` ({details['revision']}), the small model in the package: 2,000 "
        "training rows; mean ± standard deviation of "
        f"{seeds} seeds, {full} for full fine-tuning. Readout: a linear classifier over what the "
        "frozen model computes anyway. Measured by "
        f"`python -m benchmarks.quality --json` on {machine['cores']} cores."
    )
    return f"{markdown(details['points'])}\n\n{note}\n"


def replaced(readme: str, content: str) -> str:
    """The README with other content between its markers."""
    assert _MARKERS.search(readme), "README.md has lost its markers"
    return _MARKERS.sub(lambda match: f"{match[1]}{content}{match[2]}", readme)


def main() -> None:
    """Rewrites README.md."""
    ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "").parse_args()
    README.write_text(replaced(README.read_text(encoding="utf-8"), block()), encoding="utf-8")


if __name__ == "__main__":
    main()
