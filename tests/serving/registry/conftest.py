"""Prompts to publish, a folder to publish them into, and a registry on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import tiny_backbone

from benchmarks.postgres import Server, binaries, running
from softprompt.backbones import Identity
from softprompt.prompts import PromptTask, SoftPrompt
from softprompt.serving.registry import Registry
from softprompt.tasks import Choice

Make = Callable[..., SoftPrompt]


def make_prompt(seed: int = 0, accuracy: float = 0.8, **changes: object) -> SoftPrompt:
    """A prompt for the tiny Llama whose vectors all hold the seed."""
    prompt = SoftPrompt(
        tensors={"vectors": torch.full((4, 32), float(seed))},
        placement="suffix",
        task=PromptTask(
            "classification",
            "{text}\nĐánh giá: {answer}",
            ("text",),
            "sentiment",
            (Choice("pos", "tích cực"), Choice("neg", "tiêu cực")),
        ),
        backbone=tiny_backbone().identity,
        metrics={"test": {"n": 10, "accuracy": accuracy, "interval": [0.4, 0.9]}},
    )
    return replace(prompt, **changes)  # type: ignore[arg-type]


@pytest.fixture
def make() -> Make:
    return make_prompt


@pytest.fixture
def foreign() -> SoftPrompt:
    """A prompt of another backbone."""
    return make_prompt(9, backbone=Identity("other", None, "f" * 64, "e" * 64))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "prompts"


@pytest.fixture
def registry(folder: Path) -> Registry:
    """A registry that looks into the folder at every question."""
    folder.mkdir()
    return Registry(folder, check_every=0)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A real PostgreSQL; the test is skipped where its binaries or the driver are missing."""
    pytest.importorskip("psycopg")
    if binaries() is None:
        pytest.skip("no PostgreSQL binaries (initdb, pg_ctl) are installed here")
    with running() as server:
        yield server


@pytest.fixture(params=["own", "sqlite", "postgresql"])
def index_url(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    """Each kind of index in turn; None is the registry's own file."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres").url)
    return f"sqlite:///{tmp_path / 'named.sqlite'}" if request.param == "sqlite" else None
