"""What the benchmark of faults counts: each kind of loss is found, and a sound folder is not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.kills import intact, sample
from softprompt.serving.registry import Registry

DONE = {1: 1, 2: 2, 3: 3}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Registry(tmp_path / "prompts") as registry:
        for seed in DONE.values():
            registry.publish("reviews", sample(seed), aliases=["production"])
    return tmp_path / "prompts"


def lose_one(folder: Path) -> None:
    shutil.rmtree(folder / "reviews" / "2")


def lose_all(folder: Path) -> None:
    shutil.rmtree(folder / "reviews")


def tear(folder: Path) -> None:
    (folder / "reviews" / "1" / "prompt.safetensors").write_bytes(b"\0" * 99)


def swap(folder: Path) -> None:
    sample(9).save(folder / "reviews" / "2")


def roll_back(folder: Path) -> None:
    with Registry(folder) as registry:
        registry.rollback("reviews")


def move_the_alias(folder: Path) -> None:
    with Registry(folder) as registry:
        registry.alias("reviews@1", "production")


def leave_a_torn_stranger(folder: Path) -> None:
    (folder / "reviews" / "4").mkdir()


def test_a_sound_folder(folder: Path) -> None:
    assert intact(folder, DONE) == []
    assert intact(folder.parent / "none", {}) == []


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lose_one, "version 2 is lost"),
        (lose_all, "no prompt 'reviews'"),
        (tear, "version 1 is torn"),
        (swap, "content of another"),
        (roll_back, "3 was published last"),
        (move_the_alias, "3 was published last"),
        (leave_a_torn_stranger, "never told of, is torn"),
    ],
)
def test_each_loss_is_counted(folder: Path, damage: Callable[[Path], None], told: str) -> None:
    damage(folder)
    assert any(told in line for line in intact(folder, DONE))
