"""Where vectors start: on the embedding manifold, drawn by the seed, as long as asked for."""

from __future__ import annotations

import pytest
import torch
from tiny import SENTENCES, tiny_backbone

from softprompt.errors import UsageError
from softprompt.prompts.initialisers import INITIALISERS, Request
from softprompt.prompts.parametrisations import PARAMETRISATIONS


def request(**settings: object) -> Request:
    values: dict[str, object] = {
        "backbone": tiny_backbone(),
        "length": 6,
        "seed": 1,
        "texts": SENTENCES,
        "labels": ["a", "b", "a", "a", "b", "b"],
        "wordings": ["positive", "negative"],
        "text": "great coffee",
        "prompt": torch.ones(3, 32),
    }
    return Request(**{**values, **settings})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", INITIALISERS.names())
@pytest.mark.parametrize("length", [1, 6, 40])
def test_shape_scale_and_seed(name: str, length: int) -> None:
    make = INITIALISERS.get(name)
    vectors = make(request(length=length))
    assert vectors.shape == (length, 32)
    assert vectors.dtype == torch.float32
    assert torch.equal(vectors, make(request(length=length)))
    if name != "prompt":
        scale = tiny_backbone().embedding_table.square().mean().sqrt()
        assert 0.2 * scale < vectors.square().mean().sqrt() < 3 * scale


def test_labels_are_mean_sub_token_embeddings_next_to_the_answer() -> None:
    backbone = tiny_backbone()
    vectors = INITIALISERS.get("labels")(request())
    for place, word in ((-2, " positive"), (-1, " negative")):
        ids = torch.tensor(backbone.encode(word))
        torch.testing.assert_close(vectors[place], backbone.embed(ids).mean(0))
    other = INITIALISERS.get("labels")(request(seed=2))
    assert torch.equal(vectors[-2:], other[-2:])
    assert not torch.equal(vectors[:-2], other[:-2])


def test_text_is_not_repeated() -> None:
    backbone = tiny_backbone()
    vectors = INITIALISERS.get("text")(request(length=40))
    ids = backbone.encode("great coffee")
    torch.testing.assert_close(vectors[-len(ids) :], backbone.embed(torch.tensor(ids)))
    assert len({tuple(v.tolist()) for v in vectors}) == 40


def test_keywords_tell_the_classes_apart() -> None:
    texts = ["good common"] * 5 + ["bad common"] * 5
    labels = ["x"] * 5 + ["y"] * 5
    asked = request(texts=texts, labels=labels, length=2)
    vectors = INITIALISERS.get("keywords")(asked)
    wanted = torch.stack([asked.word(" good"), asked.word(" bad")])
    assert {tuple(v.tolist()) for v in vectors} == {tuple(v.tolist()) for v in wanted}


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("text", {"text": None}, "needs a text"),
        ("labels", {"wordings": ()}, "needs answer choices"),
        ("prompt", {"prompt": None}, "needs a prompt to start from"),
        ("prompt", {"prompt": torch.ones(3, 16)}, "vectors of 16 numbers"),
        ("keywords", {"texts": ["1 2", "3"]}, "found no words"),
    ],
)
def test_what_is_missing_is_said(name: str, settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        INITIALISERS.get(name)(request(**settings))


@pytest.mark.parametrize("name", PARAMETRISATIONS.names())
def test_parametrisations_start_at_the_initial_vectors(name: str) -> None:
    initial = torch.randn(4, 32)
    module = PARAMETRISATIONS.get(name)(initial)
    assert torch.equal(module().detach(), initial)
    module().square().sum().backward()
    trained = [p for group in module.groups(0.1) for p in group["params"]]  # type: ignore[operator]
    assert sum(p.numel() for p in trained) == sum(p.numel() for p in module.parameters())
