"""Every combination of the axes in a real training: what it leaves as it was, learns and saves."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import feedback_task, tiny_backbone

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
    before = module_fingerprint(backbone.model)
    task = feedback_task(tmp_path, 40)
    if placement == "slots":
        task = replace(task, template=Template("{prompt:2}{text}: {prompt:2} {answer}"))
    prompt: dict[str, Any] = {"placement": placement, "depth": depth}
    prompt |= {"length": 4} if placement != "slots" else {}
    prompt |= {"parametrisation": parametrisation, "initialisation": initialisation}
    prompt |= {"text": "good or bad, late or great"} if initialisation == "text" else {}
    training: dict[str, Any] = {"epochs": 1, "population": 1, "baselines": (), "readout": "off"}
    training |= {"token_dropout": 0.1} if depth == "kv" else {}
    result = tune(task, backbone, tmp_path / "run", chat=chat, **prompt, **training)

    assert module_fingerprint(backbone.model) == before
    assert all(p.grad is None for p in backbone.model.parameters())
    loaded = SoftPrompt.load(result["prompt"])
    assert (loaded.placement, loaded.depth, loaded.task.chat) == (placement, depth, chat == "on")
    assert all(bool(torch.isfinite(rows).all()) for rows in loaded.members)
    # What is saved answers as what was trained did.
    again = Predictor(loaded, backbone).evaluate(task.test)
    assert again["confusion"] == result["test"]["confusion"]
    assert again["ece"] == pytest.approx(result["test"]["ece"], abs=1e-4)
