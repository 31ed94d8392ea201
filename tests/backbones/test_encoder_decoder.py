"""T5 models: everything equals the model's own forward pass."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import (
    ENCODER_DECODERS,
    save_tiny,
    tiny_encoder_decoder,
    tiny_encoder_decoder_model,
    tiny_tokenizer,
)
from torch import Tensor

from softprompt.backbones import Beside, Context, EncoderDecoder, Inserted, load_backbone
from softprompt.backbones.encoder_decoder import EncoderDecoder as Class
from softprompt.backbones.relative_stack import _buckets
from softprompt.errors import BackboneError

TEXTS = [[7, 8, 9, 10, 11, 12, 2], [20, 21, 2], [*range(30, 60), 2]]
WRITTEN = [0, 40, 41, 42, 43]


@pytest.fixture(params=ENCODER_DECODERS)
def backbone(request: pytest.FixtureRequest) -> EncoderDecoder:
    return tiny_encoder_decoder(request.param)


def own_hidden(backbone: EncoderDecoder, text: list[int], embeds_ND: Tensor) -> Tensor:
    """The decoder's last hidden states [N, D] by the model itself."""
    ids = torch.tensor([text])
    read = backbone.model.get_encoder()(input_ids=ids).last_hidden_state
    out = backbone.model.get_decoder()(
        inputs_embeds=embeds_ND[None],
        encoder_hidden_states=read,
        encoder_attention_mask=torch.ones_like(ids),
    )
    return out.last_hidden_state[0]  # type: ignore[no-any-return]


def laid(rows: list[int], times: int = 1) -> tuple[Tensor, Tensor]:
    position_RN = torch.tensor([rows] * times)
    return position_RN, torch.zeros_like(position_RN)


def test_logits_and_gradients_are_the_models_own(backbone: EncoderDecoder) -> None:
    vectors_PD = torch.randn(3, backbone.hidden_size, generator=torch.Generator().manual_seed(1))
    for text in TEXTS:
        mine, theirs = (vectors_PD.clone().requires_grad_() for _ in range(2))
        around = backbone.embed(torch.tensor(WRITTEN))
        context = backbone.encode_context([text])
        # Positions begin anywhere: distances alone count.
        position_RN, branch_RN = laid(list(range(9, 17)))
        embeds = torch.cat([around[:1], mine, around[1:]])
        hidden_ND = backbone.continue_from(context, embeds[None], position_RN, branch_RN)
        logits_NV = backbone.logits(hidden_ND)
        own_NV = backbone.model(
            input_ids=torch.tensor([text]),
            decoder_inputs_embeds=torch.cat([around[:1], theirs, around[1:]])[None],
        ).logits[0]
        torch.testing.assert_close(logits_NV, own_NV, atol=1e-3, rtol=1e-4)
        for logits in (logits_NV, own_NV):
            logits[3:].log_softmax(-1)[torch.arange(5), torch.arange(5)].sum().backward()
        torch.testing.assert_close(mine.grad, theirs.grad, atol=1e-4, rtol=1e-3)
        assert mine.grad is not None
        assert bool(mine.grad.any())


def test_the_loss_is_the_models_own(backbone: EncoderDecoder) -> None:
    labels = torch.tensor([[40, 41, 2]])
    own = backbone.model(input_ids=torch.tensor([TEXTS[0]]), labels=labels).loss
    position_RN, branch_RN = laid([0, 1, 2])
    hidden_UD = backbone.continue_from(
        backbone.encode_context([TEXTS[0]]),
        backbone.embed(torch.tensor([[backbone.start, 40, 41]])),
        position_RN,
        branch_RN,
    )
    mine = backbone.log_probabilities(hidden_UD, torch.arange(3), labels[0])
    torch.testing.assert_close(-mine.mean(), own, atol=1e-5, rtol=1e-5)


def test_many_rows_over_padded_contexts_are_as_each_alone(backbone: EncoderDecoder) -> None:
    contexts = backbone.encode_context(TEXTS)
    embeds_RND = torch.randn(6, 5, backbone.hidden_size, generator=torch.Generator().manual_seed(2))
    position_RN, branch_RN = laid(list(range(5)), 6)
    position_RN[1::2, 3:] = -1
    together = backbone.continue_from(contexts, embeds_RND, position_RN, branch_RN)
    together = together.view(6, 5, -1)
    for r in range(6):
        count = 3 if r % 2 else 5
        own_ND = own_hidden(backbone, TEXTS[r // 2], embeds_RND[r, :count])
        torch.testing.assert_close(together[r, :count], own_ND, atol=1e-3, rtol=1e-4)


def test_branches_do_not_see_each_other(backbone: EncoderDecoder) -> None:
    trunk, branches = [0, 30, 31], [[40, 41], [50], [60, 61, 62]]
    position = [0, 1, 2, *(3 + i for branch in branches for i in range(len(branch)))]
    of = [0, 0, 0, *(n for n, branch in enumerate(branches, 1) for _ in branch)]
    flat = [*trunk, *(token for branch in branches for token in branch)]
    hidden_ND = backbone.continue_from(
        backbone.encode_context(TEXTS[:1]),
        backbone.embed(torch.tensor([flat])),
        torch.tensor([position]),
        torch.tensor([of]),
    )
    place = len(trunk)
    for branch in branches:
        alone = own_hidden(backbone, TEXTS[0], backbone.embed(torch.tensor(trunk + branch)))
        found = torch.cat([hidden_ND[: len(trunk)], hidden_ND[place : place + len(branch)]])
        torch.testing.assert_close(found, alone, atol=1e-3, rtol=1e-4)
        place += len(branch)


def test_vectors_in_the_encoder_are_read_as_the_model_reads_them(
    backbone: EncoderDecoder,
) -> None:
    vectors_PD = torch.randn(3, backbone.hidden_size, generator=torch.Generator().manual_seed(3))
    mine, theirs = (vectors_PD.clone().requires_grad_() for _ in range(2))
    rows = [torch.cat([mine, backbone.embed(torch.tensor(text))]) for text in TEXTS]
    width = max(map(len, rows))
    padded = torch.stack([torch.cat([x, x.new_ones(width - len(x), x.shape[1])]) for x in rows])
    slots = torch.arange(width)
    lengths = torch.tensor([len(x) for x in rows])
    position_RE = torch.where(slots < lengths[:, None], slots, -1)
    context = backbone.read(padded, position_RE)
    assert context.lengths_B.tolist() == lengths.tolist()
    position_RN, branch_RN = laid([0, 1], 3)
    given = torch.tensor([[backbone.start, 40]] * 3)
    hidden = backbone.continue_from(context, backbone.embed(given), position_RN, branch_RN)
    backbone.logits(hidden).square().mean().backward()
    own = []
    for text in TEXTS:
        whole = torch.cat([theirs, backbone.embed(torch.tensor(text))])[None]
        out = backbone.model(inputs_embeds=whole, decoder_input_ids=given[:1])
        own.append(out.logits[0])
    torch.testing.assert_close(
        backbone.logits(hidden), torch.cat(own).detach(), atol=1e-3, rtol=1e-4
    )
    torch.cat(own).square().mean().backward()
    torch.testing.assert_close(mine.grad, theirs.grad, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("encoder", [False, True])
def test_vectors_deeper_or_beside_that_repeat_the_models_own_change_nothing(
    backbone: EncoderDecoder, encoder: bool
) -> None:
    """What tokens leave in the layers, put in their places, gives what the tokens give."""
    first = backbone.embed(torch.tensor([30, 31, 32]))
    ends = list(backbone.closing)
    inputs_LPD = backbone.layer_inputs(first, encoder=encoder)
    pairs = backbone.key_values(first, encoder=encoder)
    assert len(inputs_LPD) == len(pairs) == backbone.layers == 3
    assert backbone.key_shapes == ((4, 8),) * 3
    keys, values = (tuple(pair[part][None] for pair in pairs) for part in (0, 1))
    places = torch.tensor([[0, 1, 2]] if encoder else [[1, 2, 3]])
    noise = torch.randn(3, backbone.hidden_size)
    if encoder:
        tail = backbone.embed(torch.tensor(ends))
        usual = backbone.read(torch.cat([first, tail])[None], torch.arange(4)[None])
        mixed = torch.cat([first, tail])[None]
        deep = backbone.read(mixed, torch.arange(4)[None], Inserted(places[0], inputs_LPD[1:]))
        beside = backbone.read(tail[None], torch.tensor([[3]]), None, Beside(keys, values, places))
        changed = backbone.read(
            mixed, torch.arange(4)[None], Inserted(places[0], noise.expand(2, -1, -1))
        )
        for mine, own in ((deep.keys, usual.keys), (deep.values, usual.values)):
            for x, y in zip(mine, own, strict=True):
                torch.testing.assert_close(x, y, atol=1e-3, rtol=1e-4)
        for x, y in zip(beside.keys, usual.keys, strict=True):
            torch.testing.assert_close(x, y[:, :, 3:], atol=1e-3, rtol=1e-4)
        assert not torch.allclose(changed.keys[0], usual.keys[0], atol=1e-3)
        return
    context = backbone.encode_context([ends])
    start = backbone.embed(torch.tensor([backbone.start]))
    last = backbone.embed(torch.tensor([40]))
    whole = torch.cat([start, first, last])[None]
    position, branch = laid([0, 1, 2, 3, 4])
    usual = backbone.continue_from(context, whole, position, branch)
    deep = backbone.continue_from(
        context, whole, position, branch, inserted=Inserted(places[0], inputs_LPD[1:])
    )
    torch.testing.assert_close(deep, usual, atol=1e-3, rtol=1e-4)
    position, branch = laid([0, 4])
    near = backbone.continue_from(
        context,
        torch.cat([start, last])[None],
        position,
        branch,
        beside=Beside(keys, values, places),
    )
    torch.testing.assert_close(near[1], usual[4], atol=1e-3, rtol=1e-4)


def test_distances_have_the_models_buckets(backbone: EncoderDecoder) -> None:
    attention = tiny_encoder_decoder("t5").model.encoder.block[0].layer[0].SelfAttention
    distance = torch.arange(-3000, 3000)
    for count, farthest in ((32, 128), (8, 16), (64, 512)):
        for both_ways in (False, True):
            own = attention._relative_position_bucket(distance, both_ways, count, farthest)
            assert torch.equal(_buckets(distance, count, farthest, both_ways=both_ways), own)


def test_it_is_loaded_by_its_configuration(tmp_path: Path) -> None:
    backbone = load_backbone(str(save_tiny(tmp_path, "t5")), dtype="fp32")
    assert isinstance(backbone, Class)
    assert backbone.closing == (backbone.eos,)
    assert backbone.bos is None
    empty = backbone.encode_context([[], []])
    assert empty.rows == 2
    assert empty.width == Context.empty(2, torch.device("cpu")).width


def test_other_encoder_decoders_are_refused() -> None:
    from tiny import VOCABULARY, tiny_tokenizer
    from transformers import BartConfig, BartForConditionalGeneration

    config = BartConfig(
        vocab_size=VOCABULARY,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
    )
    with pytest.raises(BackboneError, match="not those of the T5 family"):
        EncoderDecoder(BartForConditionalGeneration(config), tiny_tokenizer("encoder_decoder"))


def test_a_model_that_does_not_say_what_it_starts_with_starts_with_the_first_token() -> None:
    model = tiny_encoder_decoder_model("t5")
    del model.config.decoder_start_token_id
    assert EncoderDecoder(model, tiny_tokenizer("encoder_decoder")).start == 0
