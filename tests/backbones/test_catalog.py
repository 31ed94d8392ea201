"""The catalogue's order and form, and its figures beside the model that ships."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import softprompt.backbones
from softprompt.backbones import CATALOG, CatalogEntry

NANO = Path(softprompt.backbones.__file__).parent / "nano"
each_entry = pytest.mark.parametrize("entry", CATALOG, ids=lambda entry: entry.name)


def test_small_models_come_first_and_nano_before_all() -> None:
    sizes = [entry.parameters for entry in CATALOG]
    assert CATALOG[0].name == "nano"
    assert sizes == sorted(sizes)
    assert 8 <= len(CATALOG) <= 10


def test_no_model_is_listed_twice() -> None:
    assert len({entry.name for entry in CATALOG}) == len(CATALOG)


def test_some_models_know_vietnamese_without_asking_for_leave() -> None:
    assert sum(entry.vietnamese and not entry.gated for entry in CATALOG) >= 3


@each_entry
def test_an_entry_is_complete(entry: CatalogEntry) -> None:
    assert entry.name == "nano" or re.fullmatch(r"[\w-]+/[\w.-]+", entry.name)
    assert entry.licence.strip() == entry.licence != ""
    assert entry.note.strip() == entry.note != ""


@each_entry
def test_the_download_is_two_bytes_a_parameter(entry: CatalogEntry) -> None:
    assert entry.megabytes == round(2 * entry.parameters / 1e6)


@each_entry
def test_the_size_in_the_name_agrees(entry: CatalogEntry) -> None:
    found = re.search(r"-([\d.]+)([MB])\b", entry.name, re.IGNORECASE)
    if found is None:
        assert entry.name == "nano"
        return
    named = float(found[1]) * {"M": 1e6, "B": 1e9}[found[2].upper()]
    # Makers round, and some leave out one of two embedding matrices.
    assert named == pytest.approx(entry.parameters, rel=0.25)


@pytest.mark.skipif(not (NANO / "config.json").exists(), reason="nano is not in this tree")
def test_the_figures_of_nano_are_those_of_the_shipped_model() -> None:
    config = json.loads((NANO / "config.json").read_text(encoding="utf-8"))
    assert CATALOG[0].parameters == llama_parameters(config)
    weights = (NANO / "model.safetensors").stat().st_size
    assert CATALOG[0].megabytes == round(weights / 1e6)


def test_the_count_of_parameters_is_right_for_a_real_model() -> None:
    smollm = {
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "head_dim": 64,
        "vocab_size": 49152,
        "tie_word_embeddings": True,
    }
    assert llama_parameters(smollm) == 134_515_008


def llama_parameters(config: dict[str, int]) -> int:
    """Parameters of a Llama without biases."""
    width, head = config["hidden_size"], config["head_dim"]
    queries = config["num_attention_heads"] * head
    keys = config["num_key_value_heads"] * head
    attention = 2 * width * queries + 2 * width * keys
    layer = attention + 3 * width * config["intermediate_size"] + 2 * width
    embeddings = config["vocab_size"] * width * (1 if config["tie_word_embeddings"] else 2)
    return embeddings + config["num_hidden_layers"] * layer + width
