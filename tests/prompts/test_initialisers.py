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
        "demonstrations": SENTENCES.__getitem__,
        "order": lambda seed: range(len(SENTENCES)),
    }
    return Request(**{**values, **settings})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", INITIALISERS.names())
@pytest.mark.parametrize("length", [1, 6, 40])
def test_shape_scale_and_seed(name: str, length: int) -> None:
    make = INITIALISERS.get(name)
    # Demonstrations are shown where there is no text.
    settings = {"length": length, "text": None if name == "context" else "great coffee"}
    vectors = make(request(**settings))
    assert vectors.shape == (length, 32)
    assert vectors.dtype == torch.float32
    assert torch.equal(vectors, make(request(**settings)))
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


def test_a_small_vocabulary_gives_as_many_vectors_as_asked_for() -> None:
    small = request(length=7)
    small._frequent.extend([5, 6, 7])
    rows = INITIALISERS.get("vocabulary")(small)
    assert rows.shape[0] == 7
    assert len(rows.unique(dim=0)) == 3


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


def test_marks_belong_to_words() -> None:
    texts = ["यह बहुत अच्छा है", "phục vụ tốt 3g", "好 a b"]
    asked = request(texts=texts, labels=(), length=7)
    vectors = INITIALISERS.get("keywords")(asked)
    words = ["यह", "बहुत", "अच्छा", "है", "phục", "vụ", "tốt"]
    wanted = {tuple(asked.word(f" {word}").tolist()) for word in words}
    assert {tuple(v.tolist()) for v in vectors} == wanted


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


def vocabulary(count: int) -> torch.Tensor:
    return torch.arange(count * 32.0).sin().view(count, 32)


@pytest.mark.parametrize("name", PARAMETRISATIONS.names())
def test_parametrisations_start_at_the_initial_vectors_and_leave_them(name: str) -> None:
    initial = torch.randn(4, 32)
    module = PARAMETRISATIONS.get(name)(initial, vocabulary)
    assert torch.equal(module().detach(), initial)
    groups = module.groups(0.1)  # type: ignore[operator]
    trained = [p for group in groups for p in group["params"]]
    assert sum(p.numel() for p in trained) == sum(p.numel() for p in module.parameters())
    for _ in range(2):
        (module() - 1.0).square().sum().backward()
        torch.optim.SGD(trained, lr=1e-3).step()
    moved = module().detach()
    assert ((moved - 1.0).square().sum() < (initial - 1.0).square().sum()).item()
    again = PARAMETRISATIONS.get(name)(torch.zeros(4, 32), vocabulary)
    again.load_state_dict(module.state_dict())
    assert torch.equal(again().detach(), moved)


def test_superposed_vectors_are_mixes_of_vocabulary() -> None:
    module = PARAMETRISATIONS.get("superposition")(torch.zeros(4, 32), vocabulary)
    with torch.no_grad():
        module.weights_PM[:, 4:6] = 0.5
    expected = (vocabulary(2).sum(0) * 0.5).expand(4, 32)
    torch.testing.assert_close(module().detach(), expected)


@pytest.mark.parametrize("name", ["vocabulary", "labels", "text", "random"])
def test_nothing_is_superposed_twice(name: str) -> None:
    given = request(
        length=60, labels=["a", "b"], wordings=["good", "bad"], text="great coffee and bad food"
    )
    initial = INITIALISERS.get(name)(given)
    basis = PARAMETRISATIONS.get("superposition")(initial, given.vocabulary).get_buffer("basis_MD")
    assert torch.equal(basis[:60], initial)
    # Labels and text may begin with the same vector more than once.
    assert len(basis) == 128
    assert len(basis[60:].unique(dim=0)) == 68
    assert not (basis[60:, None] == initial).all(-1).any()


def test_a_small_vocabulary_is_superposed_once() -> None:
    table = torch.randn(9, 32)

    def few(count: int) -> torch.Tensor:
        return table[torch.arange(count) % 9]

    module = PARAMETRISATIONS.get("superposition")(table[:4] * 1.0, few)
    assert torch.equal(module.get_buffer("basis_MD"), table)
    assert torch.equal(module().detach(), table[:4])


def test_low_rank_trains_few_numbers() -> None:
    module = PARAMETRISATIONS.get("low_rank")(torch.randn(100, 32), vocabulary)
    assert sum(p.numel() for p in module.parameters()) == 100 * 2 + 2 * 32
    with torch.no_grad():
        module.low_PR.normal_()
    moved = module().detach() - module.get_buffer("initial_PD")
    assert torch.linalg.matrix_rank(moved, atol=1e-4) == 2
