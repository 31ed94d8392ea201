"""Fused layers beside the model's own forward and backward pass."""

from __future__ import annotations

import pytest
import torch
from tiny import tiny_backbone, tiny_model, tiny_tokenizer

from softprompt import load_backbone
from softprompt.backbones import Backbone
from softprompt.backbones.fused import Layer, Stack, layer
from softprompt.backbones.fused.product import Product, packing_helps
from softprompt.backbones.inserted import Inserted
from softprompt.backbones.passing import Pass
from softprompt.inference.continuation import Continuation, log_scores
from softprompt.prompts import Example
from softprompt.training.memory import kept_bytes

FUSED = ("llama", "qwen3", "mistral")


@pytest.mark.parametrize("architecture", FUSED)
def test_only_wanted_positions_come_out_with_the_same_gradient(architecture: str) -> None:
    backbone = tiny_backbone(architecture)
    context = backbone.encode_context([[3, 4, 5], [6, 7, 8, 9, 10, 11, 12, 13]])
    start = torch.randn(4, 5, backbone.hidden_size)
    position_RN = context.lengths_B.repeat_interleave(2)[:, None] + torch.arange(5)
    wanted_U = torch.tensor([19, 2, 4, 11])
    found = []
    for where in (wanted_U, None):
        embeds = start.clone().requires_grad_()
        hidden = backbone.continue_from(
            context, embeds, position_RN, torch.zeros_like(position_RN), where
        )
        chosen = hidden if where is not None else hidden[wanted_U]
        chosen.square().sum().backward()
        found.append((chosen.detach(), embeds.grad))
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-6)


def test_bf16_is_as_close_to_fp32_as_the_models_own_layers() -> None:
    ids = [[1, *range(20 + 7 * row, 29 + 9 * row)] for row in range(6)]
    rows = [Example(tuple(i), tuple(range(-1, -9, -1)), ((40, 2), (50, 60, 2))) for i in ids]
    start = torch.randn(3, 8, 256, generator=torch.Generator().manual_seed(1)) * 0.1

    def gradient(backbone: Backbone, fused: bool) -> torch.Tensor:
        backbone._run = backbone._through_stack if fused else backbone._over_shared_context
        prompts = [vectors.clone().requires_grad_() for vectors in start]
        what = Continuation.of(rows, torch.device("cpu"), [8] * 3)
        log_scores(backbone, backbone.encode_context(ids), what, prompts).sum().backward()
        return torch.stack([p.grad for p in prompts if p.grad is not None]).double()

    exact = gradient(load_backbone("nano", dtype="fp32"), fused=False)
    half = load_backbone("nano", dtype="bf16")
    errors = [float((gradient(half, fused) - exact).norm() / exact.norm()) for fused in (1, 0)]
    assert errors[0] < 1.5 * errors[1] < 0.2


@pytest.mark.parametrize("bias", [True, False])
def test_a_rearranged_weight_gives_the_same_products(bias: bool) -> None:
    layer = torch.nn.Linear(48, 80, bias=bias).bfloat16().requires_grad_(False)
    if not packing_helps(layer.weight):
        pytest.skip("no bfloat16 products of oneDNN here")
    plain, packed = (Product(layer.weight, layer.bias, kept) for kept in (False, True))
    x, to = torch.randn(21, 48).bfloat16(), torch.randn(21, 80).bfloat16()
    close = {"rtol": 2e-2, "atol": 2e-2}
    torch.testing.assert_close(packed.forward(x), plain.forward(x), **close)
    torch.testing.assert_close(packed.added(x, to), plain.added(x, to), **close)
    torch.testing.assert_close(packed.backward(to), plain.backward(to), **close)


def test_modules_keep_views_of_the_weights_laid_together() -> None:
    model = tiny_model("llama")
    before = {name: p.clone() for name, p in model.named_parameters()}
    backbone = Backbone(model, tiny_tokenizer())
    assert backbone._stack is not None
    attention, layer = model.model.layers[0].self_attn, backbone._stack.layers[0]
    shared = layer.read.weight_OI.untyped_storage().data_ptr()
    for part in (attention.q_proj, attention.k_proj, attention.v_proj):
        assert part.weight.untyped_storage().data_ptr() == shared
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_an_adapter_put_in_later_counts() -> None:
    peft = pytest.importorskip("peft")
    backbone = Backbone(tiny_model("llama"), tiny_tokenizer())
    context = backbone.encode_context([[3, 4, 5]])
    position_RN = torch.arange(3, 7)[None]
    embeds = backbone.embed(torch.arange(10, 14)[None])
    zeros = torch.zeros_like(position_RN)
    arguments = (context, embeds, position_RN, zeros)
    before = backbone.continue_from(*arguments)
    settings = peft.LoraConfig(target_modules=["up_proj"], init_lora_weights=False)
    peft.get_peft_model(backbone.model, settings)
    backbone.model.requires_grad_(False)
    after = backbone.continue_from(*arguments)
    step = Pass(embeds, position_RN, zeros)
    assert not torch.allclose(after, before)
    torch.testing.assert_close(after, backbone._over_shared_context(context, step))


def test_what_a_pass_keeps_is_counted_with_its_contexts() -> None:
    backbone = tiny_backbone("llama")

    def kept(tokens: int) -> int:
        context = backbone.encode_context([list(range(3, 3 + tokens))])
        embeds = torch.randn(1, 4, backbone.hidden_size).requires_grad_()
        position_RN = torch.arange(tokens, tokens + 4)[None]
        zeros = torch.zeros_like(position_RN)
        size = kept_bytes(
            lambda: backbone.continue_from(context, embeds, position_RN, zeros), set()
        )
        return size - context.bytes

    per_token = kept(20) - kept(19)
    # Attention weights of 4 heads and 4 positions in 2 layers are all that grows beside contexts.
    assert 0 < per_token == 2 * 4 * 4 * 4


def test_other_layers_are_left_to_the_model() -> None:
    assert Stack.of(tiny_model("gpt2").base_model, [None] * 2) is None
    model = tiny_model("llama").requires_grad_(False)
    assert Layer.fits(model.model.layers[0])
    model.model.layers[0].mlp.act_fn = torch.nn.GELU()
    assert not Layer.fits(model.model.layers[0])
    trained = tiny_model("llama")
    trained.requires_grad_(True)
    assert not Layer.fits(trained.model.layers[0])
    odd = tiny_model("llama").requires_grad_(False).model.layers[0]
    odd.self_attn.q_proj.bias = torch.nn.Parameter(torch.zeros(32), requires_grad=False)
    assert not Layer.fits(odd)
    wrapped = tiny_model("llama").requires_grad_(False).model.layers[0]
    wrapped.self_attn.q_proj = torch.nn.Sequential(wrapped.self_attn.q_proj)
    assert not Layer.fits(wrapped)


def test_layers_that_compute_otherwise_are_found_by_their_logits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import transformers as hf

    # Granite's layers have the same parts and multiply what they add.
    config = hf.GraniteConfig(
        vocab_size=320,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        residual_multiplier=0.3,
        embedding_multiplier=2.0,
        bos_token_id=1,
        eos_token_id=2,
    )
    torch.manual_seed(0)
    model = hf.GraniteForCausalLM(config).requires_grad_(False)
    assert Layer.fits(model.model.layers[0])
    backbone = Backbone(model, tiny_tokenizer())
    assert backbone._run != backbone._through_stack


def test_weights_that_are_trained_or_moved_go_through_the_model() -> None:
    backbone = Backbone(tiny_model("llama"), tiny_tokenizer())
    context = backbone.encode_context([[3, 4, 5]])
    position_RN = torch.arange(3, 7)[None]

    def hidden() -> torch.Tensor:
        embeds = backbone.embed(torch.arange(10, 14)[None])
        return backbone.continue_from(context, embeds, position_RN, torch.zeros_like(position_RN))

    before = hidden()
    weight = backbone.model.model.layers[0].mlp.up_proj.weight.requires_grad_(True)
    hidden().sum().backward()
    assert weight.grad is not None and weight.grad.abs().sum() > 0
    backbone.model.requires_grad_(False)
    with torch.no_grad():
        weight.mul_(2.0)
    doubled = hidden()
    assert not torch.equal(doubled, before)
    with torch.no_grad():
        weight.div_(2.0)
    backbone.model.double()
    context = backbone.encode_context([[3, 4, 5]])
    torch.testing.assert_close(hidden().float(), before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("architecture", FUSED)
@pytest.mark.parametrize("lengths", [(0, 0), (3, 1), (60, 20)])
@pytest.mark.parametrize("branched", [False, True])
def test_long_rows_go_in_parts_with_the_same_result(
    architecture: str, lengths: tuple[int, int], branched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone, new = tiny_backbone(architecture), 40
    monkeypatch.setattr("softprompt.backbones.fused.attention._PLACES", 8)
    context = backbone.encode_context([list(range(3, 3 + length)) for length in lengths])
    start = torch.randn(4, new, backbone.hidden_size)
    place_N = torch.arange(new)
    branch_RN = torch.zeros(4, new, dtype=torch.long)
    if branched:
        # Two branches of five places over a trunk of thirty.
        place_N = torch.cat([place_N[:30], place_N[30:35], place_N[30:35]])
        branch_RN[:, 30:35], branch_RN[:, 35:] = 1, 2
    position_RN = context.lengths_B.repeat_interleave(2)[:, None] + place_N
    position_RN[1, 33:] = -1
    position_RN[2, :4] = -1
    real = position_RN >= 0
    # Two places of the first row take other vectors in the deeper layers.
    inner_LWD = torch.randn(backbone.layers - 1, 2, backbone.hidden_size)
    seen: list[object] = []
    attend = layer.attend
    monkeypatch.setattr(
        layer, "attend", lambda *inputs: [attend(*inputs), seen.append(inputs[-1])][0]
    )

    def found(run: object) -> tuple[torch.Tensor | None, ...]:
        monkeypatch.setattr(backbone, "_run", run)
        embeds, inner = start.clone().requires_grad_(), inner_LWD.clone().requires_grad_()
        inserted = Inserted(torch.tensor([5, 20]), inner)
        hidden = backbone.continue_from(context, embeds, position_RN, branch_RN, inserted=inserted)[
            real.flatten()
        ]
        hidden.square().sum().backward()
        assert embeds.grad is not None
        return hidden.detach(), embeds.grad[real], inner.grad

    fused = found(backbone._through_stack)
    assert bool(seen[0]) == (lengths != (60, 20))
    torch.testing.assert_close(fused, found(backbone._over_shared_context), rtol=1e-5, atol=1e-5)


def test_rows_that_see_later_places_do_not_go_in_parts() -> None:
    embeds, zeros = torch.zeros(2, 6, 4), torch.zeros(2, 6, dtype=torch.long)
    position_RN = torch.tensor([[5, 6, 7, 8, 9, -1], [2, 3, -1, 4, 5, 6]])
    assert Pass(embeds, position_RN, zeros).ordered
    branch_RN = torch.tensor([[0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 2, 2]])
    branches = torch.tensor([[5, 6, 7, 8, 9, -1], [2, 3, -1, 4, 4, 5]])
    assert Pass(embeds, branches, branch_RN).ordered
    assert not Pass(embeds, branches.flip(1), branch_RN.flip(1)).ordered
    turned = torch.tensor([[5, 7, 6, 8, 9, 10], [2, 3, 4, 5, 6, 7]])
    assert not Pass(embeds, turned, zeros).ordered
