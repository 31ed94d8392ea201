"""Cached equals uncached, batched equals alone, branches equal branches alone: for every family."""

from __future__ import annotations

import logging

import pytest
import torch
from tiny import ARCHITECTURES, tiny_backbone, tiny_model, tiny_tokenizer

from softprompt.backbones import Backbone
from softprompt.backbones.probe import probe
from softprompt.errors import BackboneError

CONTEXTS = [[1, 20, 31, 42, 53, 64, 75, 86, 97], [1, 30, 40], [1, 7, 8, 9, 10, 11]]


def uncached_logits(backbone: Backbone, embeds_1TD: torch.Tensor) -> torch.Tensor:
    """The model's own forward pass: the oracle."""
    return backbone.model(inputs_embeds=embeds_1TD).logits[0]


def continued(backbone: Backbone, rows: list[list[int]], vectors_BND: torch.Tensor) -> torch.Tensor:
    context = backbone.encode_context(rows)
    start_B1 = torch.tensor([[len(row)] for row in rows])
    position_BN = start_B1 + torch.arange(vectors_BND.shape[1])
    branch_BN = torch.zeros_like(position_BN)
    hidden_UD = backbone.continue_from(context, vectors_BND, position_BN, branch_BN)
    return hidden_UD.view(vectors_BND.shape)


def vectors(backbone: Backbone, rows: int, count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    scale = backbone.embedding_table.std()
    return torch.randn(rows, count, backbone.hidden_size, generator=generator) * scale


def test_cached_logits_and_gradients_equal_uncached(any_backbone: Backbone) -> None:
    vectors_BND = vectors(any_backbone, len(CONTEXTS), 4)
    ours = vectors_BND.clone().requires_grad_()
    hidden_BND = continued(any_backbone, CONTEXTS, ours)
    logits = any_backbone.logits(hidden_BND.flatten(0, 1)).view(len(CONTEXTS), 4, -1)
    logits.log_softmax(-1)[..., 17].sum().backward()

    theirs = vectors_BND.clone().requires_grad_()
    for row, ids in enumerate(CONTEXTS):
        embeds = any_backbone.embed(torch.tensor([ids]))
        whole = uncached_logits(any_backbone, torch.cat([embeds, theirs[row : row + 1]], 1))
        torch.testing.assert_close(logits[row], whole[-4:], rtol=1e-4, atol=1e-4)
        whole[-4:].log_softmax(-1)[..., 17].sum().backward()
    assert ours.grad is not None
    assert theirs.grad is not None
    assert (ours.grad - theirs.grad).norm() / theirs.grad.norm() < 1e-4
    assert theirs.grad.norm() > 0


def test_branches_do_not_see_each_other(any_backbone: Backbone) -> None:
    trunk, first, second = vectors(any_backbone, 3, 3)[:, None]
    context = any_backbone.encode_context([CONTEXTS[0]])
    start = len(CONTEXTS[0])
    together = any_backbone.continue_from(
        context,
        torch.cat([trunk, first, second], 1),
        torch.tensor([[start + i for i in (0, 1, 2, 3, 4, 5, 3, 4, 5)]]),
        torch.tensor([[0, 0, 0, 1, 1, 1, 2, 2, 2]]),
    )[None]
    for branch, place in ((first, 3), (second, 6)):
        alone = continued(any_backbone, [CONTEXTS[0]], torch.cat([trunk, branch], 1))
        torch.testing.assert_close(
            together[:, place : place + 3], alone[:, 3:], rtol=1e-4, atol=1e-4
        )


def test_an_empty_context_is_no_context(any_backbone: Backbone) -> None:
    vectors_BND = vectors(any_backbone, 1, 5)
    hidden_BND = continued(any_backbone, [[]], vectors_BND)
    whole = uncached_logits(any_backbone, vectors_BND)
    torch.testing.assert_close(any_backbone.logits(hidden_BND[0]), whole, rtol=1e-4, atol=1e-4)


def test_the_scale_of_embeddings_is_that_of_what_goes_into_the_model(
    any_backbone: Backbone,
) -> None:
    whole = any_backbone.embed(torch.arange(any_backbone.vocabulary))
    assert any_backbone.embedding_scale == pytest.approx(float(whole.square().mean().sqrt()), 1e-5)


def test_weights_are_frozen_and_dropout_is_off() -> None:
    backbone = tiny_backbone("gpt2")
    assert not any(p.requires_grad for p in backbone.model.parameters())
    assert not backbone.model.training
    first, second = (continued(backbone, CONTEXTS, vectors(backbone, 3, 2)) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_probe_passes_and_can_fail(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny_backbone(architecture)
    probe(backbone)
    right = backbone.continue_from

    def shifted(context, embeds, position, branch, wanted=None):  # type: ignore[no-untyped-def]
        return right(context, embeds.flip(1), position, branch, wanted)

    monkeypatch.setattr(backbone, "continue_from", shifted)
    with pytest.raises(BackboneError, match="gives other logits from a cached context"):
        probe(backbone)


def test_logits_follow_softcap_and_scale() -> None:
    import transformers as hf

    config = hf.Gemma2Config(
        vocab_size=320,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        sliding_window=6,
        final_logit_softcapping=1.5,
    )
    config._attn_implementation = "eager"
    backbone = Backbone(hf.Gemma2ForCausalLM(config).float(), tiny_tokenizer())
    assert float(backbone.logits(torch.randn(5, 32) * 100).abs().max()) <= 1.5


def test_two_models_of_one_shape_have_two_fingerprints() -> None:
    first = Backbone(tiny_model("llama"), tiny_tokenizer())
    other = tiny_model("llama")
    with torch.no_grad():
        next(iter(other.parameters()))[0, 0] += 1e-3
    second = Backbone(other, tiny_tokenizer())
    assert first.identity.weights != second.identity.weights
    assert first.identity.tokenizer == second.identity.tokenizer
    assert first.identity.weights == tiny_backbone("llama").identity.weights


def test_a_text_longer_than_the_window_is_encoded_without_a_word() -> None:
    heard: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = heard.append  # type: ignore[method-assign]
    backbone = tiny_backbone()
    backbone.tokenizer.model_max_length = 8
    library = logging.getLogger("transformers")
    library.addHandler(handler)
    try:
        assert len(backbone.encode("great coffee " * 20)) > 8
    finally:
        library.removeHandler(handler)
    assert heard == []
