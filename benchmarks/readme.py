"""Puts the measured results into README.md, between its markers.

python -m benchmarks.quality --json > benchmarks/results/quality.json
python -m benchmarks.readme
"""

from __future__ import annotations

import json
import re

from benchmarks.cells import RESULTS
from benchmarks.quality import markdown

__all__ = ["block", "main", "replaced"]

README = RESULTS.parents[1] / "README.md"
_MARKERS = re.compile(r"(<!-- results: .*? -->\n).*?(<!-- /results -->)", re.DOTALL)


def block() -> str:
    """The table with what it rests on, from the stored report."""
    report = json.loads((RESULTS / "quality.json").read_text(encoding="utf-8"))
    details, machine = report["details"], report["machine"]
    backbone = f"`{details['model']}` ({details['revision']})"
    note = (
        f"Test score in points (macro-F1 for UIT-VSFC, accuracy elsewhere) with {backbone}: 2,000 "
        "training rows, mean ± standard deviation over seeds (one seed without ±, – not measured "
        "with this version), whole test files. Measured by "
        f"`python -m benchmarks.quality --json` on {machine['cores']} cores."
    )
    return f"{markdown(details['points'])}\n\n{note}\n"


def replaced(readme: str, content: str) -> str:
    """The README with other content between its markers."""
    assert _MARKERS.search(readme), "README.md has lost its markers"
    return _MARKERS.sub(lambda match: f"{match[1]}{content}{match[2]}", readme)


def main() -> None:
    """Rewrites README.md."""
    README.write_text(replaced(README.read_text(encoding="utf-8"), block()), encoding="utf-8")


if __name__ == "__main__":
    main()
