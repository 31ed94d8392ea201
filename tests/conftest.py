"""Fixtures of the whole suite: tiny backbones, an English locale, the data beside the project."""

from __future__ import annotations

import os
from pathlib import Path

# Read when huggingface_hub is imported: no test asks the network for anything.
os.environ["HF_HUB_OFFLINE"] = "1"
# Read when torch is imported: as the command line does it.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import pytest
import torch
from tiny import ARCHITECTURES, tiny_backbone

from softprompt.backbones import Backbone


@pytest.fixture(params=ARCHITECTURES)
def any_backbone(request: pytest.FixtureRequest) -> Backbone:
    """Each architecture in turn."""
    return tiny_backbone(request.param)


@pytest.fixture
def backbone() -> Backbone:
    """The tiny Llama."""
    return tiny_backbone()


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Tiny products gain nothing from threads, and one thread computes the same everywhere."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Contexts of a test go nowhere but into its own folder."""
    monkeypatch.setenv("SOFTPROMPT_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages in English, whatever the machine's locale."""
    monkeypatch.setenv("SOFTPROMPT_LANG", "en")
    monkeypatch.setattr("softprompt.locale._chosen", None)


@pytest.fixture
def shared() -> Path:
    """The folder of data beside the project; the test is skipped where it is absent."""
    folder = Path(__file__).parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("needs ../shared, which is not here")
    return folder
