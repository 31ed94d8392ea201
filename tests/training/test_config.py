"""Configurations: files, flags and assignments, and what is refused with the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest

from softprompt.errors import ConfigError
from softprompt.training import RunConfig


def test_assignments_win_over_flags_and_flags_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("training:\n  epochs: 3\n  batch_size: 4\n  seed: 7\n", encoding="utf-8")
    config = RunConfig.of(
        "a.csv", file, ["epochs=9"], training={"epochs": 5, "batch_size": 6, "seed": None}
    )
    assert (config.training.epochs, config.training.batch_size, config.training.seed) == (9, 6, 7)


def test_a_configuration_survives_json() -> None:
    config = RunConfig.of(
        "a.csv", None, ["choices={pos: tích cực, neg: tiêu cực}", "prompt.length=8"]
    )
    again = RunConfig.from_json(config.model_dump(mode="json"))
    assert again == config
    assert dict(again.task.choices or {}) == {"pos": "tích cực", "neg": "tiêu cực"}


def test_words_that_older_yaml_takes_for_booleans_are_words(tmp_path: Path) -> None:
    words = ["disk_cache=on", "readout=off", "ensemble=off", "choices={yes: yes, no: không}"]
    file = tmp_path / "run.yaml"
    file.write_text(
        "training: {disk_cache: on, readout: off, ensemble: off, drop_long: true}\n"
        "task:\n  choices:\n    yes: yes\n    no: không\n",
        encoding="utf-8",
    )
    for config in (RunConfig.of("a.csv", None, words), RunConfig.of("a.csv", file)):
        training = config.training
        assert (training.disk_cache, training.readout, training.ensemble) == ("on", "off", "off")
        assert dict(config.task.choices or {}) == {"yes": "yes", "no": "không"}
    assert RunConfig.of("a.csv", file).training.drop_long is True
    assert RunConfig.of("a.csv", None, ["drop_long=yes"]).training.drop_long is True


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("epoch=3", "Did you mean 'epochs'"),
        ("training.epoch=3", "Unknown setting training.epoch. Did you mean 'epochs'"),
        ("trainin.epochs=3", "Unknown section 'trainin'"),
        ("epochs", "is no assignment"),
        ("epochs=many", "training.epochs cannot be 'many'"),
        ("epochs=0", "greater than or equal to 1"),
        ("length=1000", "prompt.length cannot be 1000"),
        ("seed=3", "Unknown or ambiguous setting 'seed'"),
        ("epochs=[", 'is not YAML. Put text with signs of its own in quotes: --set "epochs='),
        ("ensemble=-1", "greater than or equal to 1"),
        ("rounds=-1", "search.rounds cannot be -1"),
        ("search.round=1", "Did you mean 'rounds'"),
        ("lengths=[0,8]", "training.lengths cannot be 0"),
        ("learning_rates=[-1]", "training.learning_rates cannot be -1"),
        ("halvings=[30]", "training.halvings cannot be 30"),
        ("time_budget=.inf", "training.time_budget cannot be inf"),
        ("learning_rate=.nan", "training.learning_rate cannot be nan"),
    ],
)
def test_wrong_assignments_are_refused(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        RunConfig.of("a.csv", None, [assignment])
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("trainig:\n  epochs: 3\n", "Unknown section 'trainig'"),
        ("training:\n  learnin_rate: 3\n", "Did you mean 'learning_rate'"),
        ("training: 3\n", "The section 'training' in"),
        ("- 1\n", "holds no sections"),
        (":\n  - {", "is not YAML"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        RunConfig.of("a.csv", file)
    assert message in str(raised.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        RunConfig.of("a.csv", tmp_path / "no.yaml")
