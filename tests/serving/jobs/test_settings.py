"""From an order to the configuration of a run; the run's own models are the oracle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from softprompt.errors import SoftPromptError
from softprompt.serving.http.schemas.fine_tuning import Hyperparameters, TaskBody
from softprompt.serving.jobs.job_files import JobFiles
from softprompt.serving.jobs.settings import LEARNING_RATE, check_settings, run_settings
from softprompt.training import RunConfig
from softprompt.training.config import TrainingConfig

BACKBONE = {"model": "nano", "device": "cpu"}


def test_the_usual_rate_is_the_trainings_own() -> None:
    assert TrainingConfig().learning_rate == LEARNING_RATE


def test_every_setting_arrives() -> None:
    given = {
        "n_epochs": 3, "batch_size": 8, "learning_rate_multiplier": 2.0, "method": "ct-kv",
        "placement": "prefix", "depth": "kv", "parametrisation": "direct",
        "initialisation": "context", "length": 5, "population": 2, "ensemble": "off",
        "patience": 4, "time_budget": 9.0, "max_new_tokens": 7, "drop_long": True,
        "metric": "accuracy", "readout": "off",
    }  # fmt: skip
    assert set(given) == set(Hyperparameters.model_fields)
    task = {
        "input": ["a"], "target": "b", "template": "{a} {answer}", "choices": {"0": "no"},
        "kind": "classification", "delimiter": ";", "encoding": "utf-8", "chat": "off",
        "limit": 5, "validation_share": 0.2, "test_share": 0.3, "drop_empty": True,
    }  # fmt: skip
    assert set(task) == set(TaskBody.model_fields)
    check_settings(given, task)
    settings = run_settings(given, task, backbone=BACKBONE, seed=6, validation=Path("/v.csv"))
    config = RunConfig.of("data.csv", **settings)
    training, prompt = config.training, config.prompt
    assert (training.epochs, training.batch_size, training.learning_rate) == (3, 8, 0.6)
    assert (training.ensemble, training.drop_long, training.seed) == ("off", True, 6)
    assert training.readout == "off"
    assert (prompt.method, prompt.length, prompt.depth) == ("ct-kv", 5, "kv")
    assert (config.task.validation, config.task.seed, config.task.choices) == (
        "/v.csv", 6, {"0": "no"},
    )  # fmt: skip
    assert (config.backbone.model, config.backbone.device) == ("nano", "cpu")


def test_what_is_left_open_is_left_to_the_run() -> None:
    given = {"n_epochs": "auto", "batch_size": "auto", "length": None, "ensemble": "auto"}
    settings = run_settings(given, {}, backbone=BACKBONE, seed=0, validation=None)
    assert settings["prompt"] == {}
    assert settings["training"] == {"ensemble": "auto", "seed": 0}


def test_texts_arrive_as_they_went(tmp_path: Path) -> None:
    template = "\x85\u2028\x7f\t 'đ\" 😀: {a}\n\n#{answer}"
    task = {"template": template, "choices": {"no": "không", "1": "yes"}}
    settings = run_settings({}, task, backbone=BACKBONE, seed=0, validation=None)
    assert "readout" not in settings["training"]
    without: dict[str, Any] = {"backbone": BACKBONE, "seed": 0, "validation": None}
    settings_without = run_settings({"readout": "on"}, task, **without, readouts=False)
    assert settings_without["training"]["readout"] == "off"
    files = JobFiles(tmp_path)
    files.configure(settings)
    found = RunConfig.of("data.csv", files.settings).task
    assert found == RunConfig.of("data.csv", **settings).task
    assert found.choices == {"no": "không", "1": "yes"}


@pytest.mark.parametrize(
    ("hyperparameters", "task", "told"),
    [
        ({"method": "prompt-tunin"}, {}, "Did you mean 'prompt-tuning'"),
        ({"placement": "sufix"}, {}, "Did you mean 'suffix'"),
        ({"depth": "deeper"}, {}, "Did you mean 'deep'"),
        ({"parametrisation": "direkt"}, {}, "Did you mean 'direct'"),
        ({}, {"template": "no place"}, "answer"),
        ({"metric": "acuracy"}, {}, "Did you mean 'accuracy'"),
        ({}, {"encoding": "klingon"}, "Unknown encoding"),
        ({}, {"delimiter": ";;"}, "not one character"),
    ],
)
def test_what_cannot_be_is_told_at_once(
    hyperparameters: dict[str, str], task: dict[str, str], told: str
) -> None:
    with pytest.raises(SoftPromptError, match=told):
        check_settings(hyperparameters, task)
