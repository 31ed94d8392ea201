"""The examples of docs/any-model.md run as printed, in ten lines each, and do what it says."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest
import torch

PAGE = Path(__file__).parents[1] / "docs" / "any-model.md"


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def lines(block: str) -> int:
    return len([line for line in block.splitlines() if line.strip()])


def run(block: str, names: dict[str, Any]) -> dict[str, Any]:
    exec(compile(block, str(PAGE), "exec"), names)
    return names


@pytest.fixture(autouse=True)
def seeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)


def test_the_linear_layer(capsys: pytest.CaptureFixture[str]) -> None:
    block = blocks()[0]
    assert lines(block) <= 10
    found = run(block, {})
    before, after = map(int, re.findall(r"\d+", capsys.readouterr().out))
    assert after > before + 40
    assert found["result"]["loss"] < found["result"]["loss_without"]
    assert all(p.grad is None for p in found["linear"].parameters())


def test_the_protein_model() -> None:
    random.seed(0)
    names = run(blocks()[1], {})
    assert lines(blocks()[2]) <= 10
    found = run(blocks()[2], names)
    assert found["result"]["loss"] < found["result"]["loss_without"]
    right = (found["outputs"].argmax(1) == names["labels"]).float().mean()
    assert float(right) > 0.7
