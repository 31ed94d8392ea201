"""Encoders: hidden states equal the model's own, padding and company change nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import ENCODERS, save_tiny, tiny_encoder, tiny_tokenizer

from softprompt.backbones import Context, EncoderClassifier, Inserted, load_backbone
from softprompt.errors import BackboneError

TEXTS = [[1, 7, 8, 9, 10, 11, 12, 2], [1, 20, 21, 2], [1, *range(30, 60), 2]]


@pytest.fixture(params=ENCODERS)
def backbone(request: pytest.FixtureRequest) -> EncoderClassifier:
    return tiny_encoder(request.param)


def test_padded_rows_are_as_the_model_reads_each_alone(backbone: EncoderClassifier) -> None:
    width = max(map(len, TEXTS))
    ids = torch.tensor([[*text, *[5] * (width - len(text))] for text in TEXTS])
    slots = torch.arange(width)
    position = torch.stack([torch.where(slots < len(text), slots, -1) for text in TEXTS])
    mine = backbone.embed(ids).detach().requires_grad_()
    hidden = backbone.continue_from(
        Context.empty(3, torch.device("cpu")), mine, position, torch.zeros_like(position)
    ).view(3, width, -1)
    hidden[:, 0].pow(3).sum().backward()
    assert mine.grad is not None
    for row, text in enumerate(TEXTS):
        own = backbone.model(input_ids=torch.tensor([text])).last_hidden_state[0]
        torch.testing.assert_close(hidden[row, : len(text)], own, atol=1e-4, rtol=1e-4)
        theirs = backbone.embed(torch.tensor([text])).detach().requires_grad_()
        backbone.model(inputs_embeds=theirs).last_hidden_state[0, 0].pow(3).sum().backward()
        assert theirs.grad is not None
        torch.testing.assert_close(
            mine.grad[row, : len(text)], theirs.grad[0], atol=1e-3, rtol=1e-3
        )
        assert not bool(mine.grad[row, len(text) :].any())


def test_layer_inputs_put_in_their_places_change_nothing(backbone: EncoderClassifier) -> None:
    between = backbone.embed(torch.tensor([30, 31, 32]))
    inputs_LPD = backbone.layer_inputs(between)
    assert inputs_LPD.shape == (2, 3, 32)
    whole = backbone.embed(torch.tensor([[1, 30, 31, 32, 2]]))
    position = torch.arange(5)[None]
    empty = Context.empty(1, torch.device("cpu"))
    places = torch.tensor([1, 2, 3])
    usual, same, other = (
        backbone.continue_from(
            empty, whole, position, torch.zeros_like(position), inserted=inserted
        )
        for inserted in (
            None,
            Inserted(places, inputs_LPD[1:]),
            Inserted(places, torch.randn(1, 3, 32)),
        )
    )
    torch.testing.assert_close(same, usual, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(other, usual, atol=1e-2)


def test_it_is_loaded_by_its_configuration(tmp_path: Path) -> None:
    backbone = load_backbone(str(save_tiny(tmp_path, "bert")), dtype="fp32")
    assert isinstance(backbone, EncoderClassifier)
    assert (backbone.bos, backbone.eos, backbone.closing) == (1, 2, (2,))
    assert backbone.window == 130
    assert tiny_encoder("roberta").window == 129, "positions are counted from the padding id on"


def test_a_tokenizer_without_the_tokens_is_refused(tmp_path: Path) -> None:
    save_tiny(tmp_path, "bert")
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(BackboneError, match="has no cls_token"):
        load_backbone(str(tmp_path))
