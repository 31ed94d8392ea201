"""README's results are those of the stored report, digit for digit."""

from __future__ import annotations

import pytest

from benchmarks.cells import RESULTS
from benchmarks.readme import README, block, replaced


def test_the_readme_holds_the_stored_results() -> None:
    if not (RESULTS / "quality.json").is_file():
        pytest.skip("benchmarks/results/quality.json is not there yet")
    readme = README.read_text(encoding="utf-8")
    assert replaced(readme, block()) == readme


def test_other_results_would_be_noticed() -> None:
    readme = "a\n<!-- results: x -->\nold\n<!-- /results -->\nb"
    assert replaced(readme, "new\n") == "a\n<!-- results: x -->\nnew\n<!-- /results -->\nb"
