"""The step benchmark on a tiny shape: every side runs, claims come from what was measured."""

from __future__ import annotations

import pytest

pytest.importorskip("peft")

from benchmarks import train_step
from benchmarks.shapes import Shape


@pytest.mark.slow
def test_a_case_is_measured_and_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(train_step.SHAPES, "135M", Shape(32, 2, 4, 2, 64, 320))
    cases = [train_step.measure_case("135M", "fp32", tokens, 2, False) for tokens in (96, 400)]
    sides = {"suffix-1", "suffix-8", "prefix-1", "prefix-8", "peft"}
    assert all(set(case["seconds"]) == sides for case in cases)
    claims = {one.name: one for one in train_step._claims(cases, {"fp32": 1e12, "bf16": 1e12})}
    seconds = cases[0]["seconds"]
    ratio = 8 * seconds["peft"] / seconds["suffix-8"]
    assert claims["population_step_96"].value == pytest.approx(ratio, rel=0.05)
    assert claims["population_step_96"].reason == "compiled PEFT is left out"
    assert not any(one.holds for name, one in claims.items() if "step" in name)
    assert claims["peak_share_bf16"].value is None
    least = min(case["operations_per_second"] for case in cases) / 1e12
    assert claims["peak_share_fp32"].value == pytest.approx(least, abs=1e-3)
    assert "suffix x8" in train_step._table(cases)


def test_operations_of_a_shape_without_attention_are_those_of_its_products() -> None:
    # One layer, no context: keys and values everywhere, the rest where something is predicted.
    shape = Shape(8, 1, 1, 1, 4, 100)
    new, predict = 3, 2
    linear = 2 * (new * 2 * 64 + predict * (2 * 64 + 3 * 32))
    head = 2 * predict * 800
    own = 2 * 2 * 8 * predict * (new + 1) / 2
    assert shape.suffix_operations(2, 2, 0) == 2 * (linear + head) + 3 * own
