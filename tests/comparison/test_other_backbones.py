"""Comparisons over backbones that are no decoders: what suits is measured, the rest is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import feedback_task, save_tiny

from comparison.conftest import FAST, HOW
from softprompt.comparison import METHODS, CompareConfig, Comparison, compare
from softprompt.training import RunConfig


@pytest.mark.parametrize(
    ("architecture", "refused", "nearest"),
    [
        ("t5", {"lora_suffix"}, "lora"),
        ("bert", set(METHODS) - {"majority", "soft_prompt"}, "soft_prompt"),
    ],
)
def test_what_a_backbone_cannot_take_is_refused(
    tmp_path: Path, architecture: str, refused: set[str], nearest: str
) -> None:
    pytest.importorskip("peft")
    feedback_task(tmp_path)
    model = save_tiny(tmp_path / "model", architecture)
    config = RunConfig.of(
        f"{tmp_path}/feedback.jsonl",
        backbone={"model": str(model), "dtype": "fp32"},
        prompt={"length": 4},
        training=FAST,
    )
    how = CompareConfig(methods=tuple(METHODS), **{**HOW, "full_rates": (1e-3,)})
    found = compare(Comparison.begin(tmp_path / "run", config, how))
    assert set(found["errors"]) == refused
    assert set(found["methods"]) == set(METHODS) - refused
    for name, told in found["errors"].items():
        assert told["kind"] == "refused"
        assert told["error"].startswith(f"The method {name!r} cannot use ")
        assert told["error"].endswith(f"The nearest that works is {nearest}.")
