"""Methods by their names: a table of axes, which a given setting goes before."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tiny import feedback_task, tiny_backbone

from softprompt import SoftPrompt, tune
from softprompt.errors import ConfigError
from softprompt.prompts import PromptConfig
from softprompt.prompts.depths import DEPTHS
from softprompt.prompts.parametrisations import PARAMETRISATIONS
from softprompt.prompts.placements import PLACEMENTS
from softprompt.prompts.presets import PRESETS


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_name_stands_for_axes_that_there_are(name: str) -> None:
    config = PromptConfig(method=name)
    assert config.placement in PLACEMENTS.names()
    assert config.depth in DEPTHS.names()
    assert config.parametrisation in PARAMETRISATIONS.names()
    assert PromptConfig(method=name, placement="suffix").placement == "suffix"
    assert PromptConfig(**config.model_dump()) == config
    assert re.search(r"trained", PRESETS[name].formula)
    assert re.fullmatch(
        r".+ et al\. 20\d\d, arXiv \d{4}\.\d{5}|Li & Liang 2021, .+", PRESETS[name].paper
    )
    # The guide's table has every name with the same axes.
    guide = (Path(__file__).parents[2] / "docs" / "guide.md").read_text("utf-8")
    (line,) = [one for one in guide.splitlines() if one.startswith(f"| `{name}` ")]
    axes = PRESETS[name].axes
    assert [part.strip(" `") for part in line.split("|")[2:5]] == [
        axes["placement"],
        axes["depth"],
        axes["parametrisation"],
    ]


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"Unknown method 'p-tunning'.*p-tuning"):
        PromptConfig(method="p-tunning")


def test_a_method_is_a_setting_of_a_run(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"epochs": 1, "population": 1, "baselines": (), "length": 3}
    result = tune(
        feedback_task(tmp_path), tiny_backbone(), tmp_path / "run", method="p-tuning-v2", **settings
    )
    prompt = SoftPrompt.load(result["prompt"])
    assert (prompt.placement, prompt.depth, prompt.length) == ("front", "deep", 3)
    assert prompt.config["prompt"]["method"] == "p-tuning-v2"
