"""The commands with models that are no decoders."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import save_tiny

from cli.conftest import Shell


@pytest.mark.parametrize("architecture", ["t5", "bert"])
def test_the_commands_take_the_models_folder(
    shell: Shell, data: Path, tmp_path: Path, architecture: str
) -> None:
    model = save_tiny(tmp_path / "model", architecture)
    output = tmp_path / "run"
    words = ["--model", model, "--epochs", 1, "--length", 4, "--population", 2]
    tuned = shell("tune", data, "--output", output, *words, "--dtype", "fp32", "--json")
    assert tuned.code == 0, tuned.out
    assert 0 <= tuned.value["test"]["accuracy"] <= 1
    prompt = output / "prompt"
    assert shell("evaluate", prompt, data, "--json").value["n"] == 60
    found = shell("predict", prompt, "the late parcel", "--json").value["predictions"]
    assert set(found[0]["probabilities"]) == {"bad", "good"}
    assert shell("show", prompt, "--json").code == 0
    for placement in ("suffix", "front"):
        shown = shell("check", data, "--model", model, "--placement", placement)
        assert shown.code == 0
        assert "‹8›" in shown.out
        assert shown.out.count("│") > 10, "the text is shown, wherever it is read"
