"""The growth benchmark: exponents of known laws, and every axis on tiny shapes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("peft")

from benchmarks import growth
from benchmarks.shapes import SIZES, Shape, build

TINY = {"1": Shape(32, 2, 4, 2, 64, 320), "2": Shape(64, 2, 4, 2, 128, 320)}
AXES = {
    "rows": (8, 24),
    "tokens": (8, 32),
    "prompts": (1, 3),
    "size": tuple(shape.parameters for shape in TINY.values()),
}


def test_a_power_law_is_found_exactly() -> None:
    xs = [1.0, 2.0, 4.0, 8.0]
    assert growth.fit(xs, [3 * x**1.5 for x in xs]) == {
        "exponent": 1.5,
        "error": 0.0,
        "factor": 3.0,
    }
    assert growth.fit([1.0, 1.0], [1.0, 2.0]) is None
    assert growth.fit([1.0, 2.0], [0.0, 0.0]) is None
    assert growth.fit([1.0, 2.0], [1.0, 4.0]) == {"exponent": 2.0, "error": None, "factor": 1.0}


def test_the_error_of_an_exponent_is_that_of_a_regression() -> None:
    from scipy.stats import linregress

    xs, ys = [1.0, 2.0, 4.0, 8.0, 8.0], [1.1, 1.9, 4.4, 7.0, 9.0]
    import numpy as np

    oracle = linregress(np.log(xs), np.log(ys))
    found = growth.fit(xs, ys)
    assert found is not None
    assert found["exponent"] == pytest.approx(oracle.slope, abs=1e-3)
    assert found["error"] == pytest.approx(oracle.stderr, abs=1e-3)


@pytest.mark.parametrize("shape", TINY.values())
def test_parameters_are_those_of_the_model(shape: Shape) -> None:
    assert build(shape, "fp32").parameters == shape.parameters


def test_sizes_are_in_order_and_named_by_their_parameters() -> None:
    sizes = [shape.parameters for shape in SIZES.values()]
    assert sizes == sorted(sizes)
    for name, shape in SIZES.items():
        assert shape.parameters / 1e6 == pytest.approx(float(name[:-1]), rel=0.2)


@pytest.mark.slow
def test_all_axes_are_measured_fitted_and_drawn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(growth, "AXES", AXES)
    monkeypatch.setattr(growth, "SIZES", TINY)
    monkeypatch.setattr(growth, "SHAPE", "1")
    monkeypatch.setattr(growth, "TOKENS", 8)
    plot = tmp_path / "figures" / "growth.png"
    monkeypatch.setattr("sys.argv", ["growth", "--repeats", "2", "--json", "--plot", str(plot)])
    growth.main()
    report = json.loads(capsys.readouterr().out)
    assert report["claims"] == []
    axes = report["details"]["axes"]
    assert list(axes) == list(AXES)
    assert all(set(p["sides"]) == {"suffix", "prefix", "peft"} for p in axes["tokens"]["points"])
    assert plot.read_bytes().startswith(b"\x89PNG")
    # What is counted follows exact laws: the cache is one of rows and of input tokens.
    assert axes["rows"]["exponents"]["suffix"]["cache_bytes"]["exponent"] == 1.0
    assert axes["tokens"]["exponents"]["suffix"]["cache_bytes"]["exponent"] == 1.0
    assert axes["prompts"]["exponents"]["suffix"]["cache_bytes"]["exponent"] == 0.0
    assert axes["rows"]["exponents"]["peft"]["cache_bytes"] is None
    assert 0 < axes["prompts"]["exponents"]["suffix"]["kept_bytes"]["exponent"] <= 1.1
    lines = growth.table(axes).splitlines()
    assert len(lines) == 13
    assert all(len(line) <= 80 for line in lines)
