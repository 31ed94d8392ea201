"""Every combination of the axes in a real training: what it leaves as it was, learns and saves."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import feedback_task, tiny_backbone, tiny_encoder, tiny_encoder_decoder

from softprompt import Predictor, SoftPrompt, tune
from softprompt.backbones.fingerprint import module_fingerprint
from softprompt.prompts.depths import DEPTHS
from softprompt.prompts.parametrisations import PARAMETRISATIONS
from softprompt.prompts.placements import PLACEMENTS
from softprompt.tasks import Template

CHAT = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }} {% endfor %}[assistant] "
INITIALISATIONS = ("context", "keywords", "labels", "random", "text", "vocabulary")
AXES = list(product(PLACEMENTS.names(), DEPTHS.names(), PARAMETRISATIONS.names()))
# Six initialisations and two layouts go round over the combinations, so that each of them meets
# every placement, depth and parametrisation.
DRAWN = [INITIALISATIONS[(turn + turn // 6) % 6] for turn in range(len(AXES))]
CASES = [
    # Only keys and values can begin as demonstrations.
    (
        *axes,
        "random" if name == "context" and axes[1] != "kv" else name,
        ("on", "off")[turn // 2 % 2],
    )
    for turn, (axes, name) in enumerate(zip(AXES, DRAWN, strict=True))
]
CASES += [
    ("prefix", "kv", name, "context", "off")
    for name in PARAMETRISATIONS.names()
    if not any(case[1:4] == ("kv", name, "context") for case in CASES)
]


def test_the_cases_meet_every_pair_of_values() -> None:
    values = (PLACEMENTS.names(), DEPTHS.names(), PARAMETRISATIONS.names())
    assert {case[:3] for case in CASES} == set(AXES)
    for axis, names in enumerate(values):
        possible = set(product(names, INITIALISATIONS))
        possible -= {("input", "context"), ("deep", "context")}
        assert {(case[axis], case[3]) for case in CASES} == possible
        assert {(case[axis], case[4]) for case in CASES} == set(product(names, ("on", "off")))


OTHERS = [
    *product(["t5"], PLACEMENTS.names(), DEPTHS.names()),
    # An encoder classifier takes no keys and values.
    *product(["bert"], PLACEMENTS.names(), ["deep", "input"]),
]


@pytest.mark.parametrize(("form", "placement", "depth"), OTHERS)
def test_training_over_other_backbones_keeps_the_rules(
    tmp_path: Path, form: str, placement: str, depth: str
) -> None:
    backbone = tiny_encoder_decoder() if form == "t5" else tiny_encoder()
    keeps_the_rules(tmp_path, backbone, placement, {"depth": depth, "initialisation": "labels"})


@pytest.mark.slow
@pytest.mark.parametrize(("placement", "depth", "parametrisation", "initialisation", "chat"), CASES)
def test_training_keeps_the_rules(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    placement: str,
    depth: str,
    parametrisation: str,
    initialisation: str,
    chat: str,
) -> None:
    backbone = tiny_backbone()
    if chat == "on":
        monkeypatch.setattr(backbone.tokenizer, "chat_template", CHAT)
    axes: dict[str, Any] = {"depth": depth, "parametrisation": parametrisation}
    axes |= {"initialisation": initialisation}
    axes |= {"text": "good or bad, late or great"} if initialisation == "text" else {}
    keeps_the_rules(tmp_path, backbone, placement, axes, chat)


def keeps_the_rules(
    folder: Path, backbone: Any, placement: str, axes: dict[str, Any], chat: str = "off"
) -> None:
    """A training leaves the model as it was, and what it saves is what it measured."""
    before = module_fingerprint(backbone.model)
    task = feedback_task(folder, 40)
    if placement == "slots":
        task = replace(task, template=Template("{prompt:2}{text}: {prompt:2} {answer}"))
    prompt: dict[str, Any] = {"placement": placement, **axes}
    prompt |= {"length": 4} if placement != "slots" else {}
    training: dict[str, Any] = {"epochs": 1, "population": 1, "baselines": (), "readout": "off"}
    training |= {"token_dropout": 0.1} if axes["depth"] == "kv" else {}
    result = tune(task, backbone, folder / "run", chat=chat, **prompt, **training)

    assert module_fingerprint(backbone.model) == before
    assert all(p.grad is None for p in backbone.model.parameters())
    loaded = SoftPrompt.load(result["prompt"])
    assert (loaded.placement, loaded.depth) == (placement, axes["depth"])
    assert loaded.task.chat == (chat == "on")
    assert all(bool(torch.isfinite(rows).all()) for rows in loaded.members)
    # What is saved answers as what was trained did.
    again = Predictor(loaded, backbone).evaluate(task.test)
    assert again["confusion"] == result["test"]["confusion"]
    assert again["ece"] == pytest.approx(result["test"]["ece"], abs=1e-4)
