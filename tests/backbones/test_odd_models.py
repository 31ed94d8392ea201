"""Families that keep their layers, keys or tokens in ways of their own: exact, or refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from tiny import VOCABULARY, feedback_task, tiny_encoder_model, tiny_model, tiny_tokenizer

from softprompt import tune
from softprompt.backbones import Backbone, Context, EncoderClassifier, Inserted
from softprompt.backbones.inserted import layers_of
from softprompt.errors import BackboneError, DataError
from softprompt.prompts.readout import numbers_read, read_values

SMALL = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2}
SMALL |= {"num_attention_heads": 4, "pad_token_id": 0}


def random_model(make: Any, config: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = make(config)
    for parameter in model.parameters():
        parameter.data.mul_(3.0 if parameter.dim() > 1 else 1.0)
    return model.float()


def latent_attention(rank: int) -> Backbone:
    """A decoder whose keys and values differ in size (MLA)."""
    config = hf.DeepseekV3Config(
        **SMALL, intermediate_size=64, moe_intermediate_size=32, num_key_value_heads=4,
        q_lora_rank=16, kv_lora_rank=rank, qk_rope_head_dim=8, qk_nope_head_dim=16, v_head_dim=16,
        n_routed_experts=4, n_group=1, topk_group=1, num_experts_per_tok=2, first_k_dense_replace=1,
        max_position_embeddings=128,
    )  # fmt: skip
    return Backbone(random_model(hf.DeepseekV3ForCausalLM, config), tiny_tokenizer())


def one_pass(backbone: Backbone, inserted: Inserted | None) -> torch.Tensor:
    whole = backbone.embed(torch.tensor([[1, 30, 31, 32, 2]]))
    position = torch.arange(5)[None]
    empty = Context.empty(1, torch.device("cpu"))
    return backbone.continue_from(
        empty, whole, position, torch.zeros_like(position), inserted=inserted
    )


def assert_own_inputs_change_nothing_and_others_do(backbone: Backbone, inputs: Any) -> None:
    places = torch.tensor([1, 2, 3])
    usual = one_pass(backbone, None)
    same = one_pass(backbone, Inserted(places, inputs[1:]))
    other = one_pass(backbone, Inserted(places, torch.randn(inputs[1:].shape)))
    torch.testing.assert_close(same, usual, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(other[4], usual[4], atol=1e-2)


def test_an_encoder_that_pads_to_its_window_takes_vectors_at_every_layer() -> None:
    config = hf.LongformerConfig(
        **{**SMALL, "pad_token_id": 1}, intermediate_size=64, max_position_embeddings=130,
        attention_window=16,
    )  # fmt: skip
    backbone = EncoderClassifier(
        random_model(hf.LongformerModel, config), tiny_tokenizer("encoder")
    )
    inputs_LPD = backbone.layer_inputs(backbone.embed(torch.tensor([30, 31, 32])))
    assert_own_inputs_change_nothing_and_others_do(backbone, inputs_LPD)


def test_a_decoder_whose_layers_lie_deeper_takes_vectors_at_every_layer() -> None:
    config = hf.OPTConfig(
        **SMALL, ffn_dim=64, word_embed_proj_dim=32, max_position_embeddings=128, dropout=0.0
    )
    backbone = Backbone(random_model(hf.OPTForCausalLM, config), tiny_tokenizer())
    inputs_LPD = backbone.layer_inputs(backbone.embed(torch.tensor([30, 31, 32])))
    assert_own_inputs_change_nothing_and_others_do(backbone, inputs_LPD)


def test_an_encoder_whose_layers_are_in_parts_is_refused_for_depth_deep(tmp_path: Path) -> None:
    config = hf.XLMConfig(
        vocab_size=VOCABULARY, emb_dim=32, n_layers=2, n_heads=4, max_position_embeddings=128,
        pad_index=0, dropout=0.0, attention_dropout=0.0,
    )  # fmt: skip
    backbone = EncoderClassifier(random_model(hf.XLMModel, config), tiny_tokenizer("encoder"))
    with pytest.raises(BackboneError, match="not in one list"):
        tune(feedback_task(tmp_path), backbone, tmp_path / "run", depth="deep")
    assert not (tmp_path / "run").exists()


def test_layers_of_another_tower_are_not_taken_for_those_of_the_text() -> None:
    def tower(layers: int) -> torch.nn.Module:
        module = torch.nn.Module()
        module.layers = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(layers))
        return module

    both = torch.nn.Module()
    both.vision, both.text = tower(2), tower(2)
    assert layers_of(both, 2) is None
    both.vision = tower(3)
    assert layers_of(both, 2) == list(both.text.layers)
    # What lies inside a layer is the layer's own.
    both.text.layers[0].experts = torch.nn.ModuleList([torch.nn.Linear(2, 2)] * 2)
    assert layers_of(both, 2) == list(both.text.layers)


def test_a_readout_reads_as_many_numbers_as_values_have() -> None:
    backbone = latent_attention(32)
    read = read_values(backbone, backbone.encode_context([[1, 5, 6], [1, 9]]))
    assert read.shape == (2, numbers_read(backbone))


def test_keys_wider_than_values_are_refused_for_depth_kv(tmp_path: Path) -> None:
    backbone = latent_attention(16)
    with pytest.raises(BackboneError, match=r"keys of \d+ numbers and values of \d+"):
        tune(feedback_task(tmp_path), backbone, tmp_path / "run", method="prefix-tuning")
    assert not (tmp_path / "run").exists()


def test_an_encoder_that_cannot_be_probed_says_why() -> None:
    config = hf.IBertConfig(**{**SMALL, "pad_token_id": 1}, intermediate_size=64)
    model = random_model(hf.IBertModel, config)
    with pytest.raises(BackboneError, match="cannot be used as an encoder"):
        EncoderClassifier(model, tiny_tokenizer("encoder"))


def test_a_model_that_looks_for_the_token_of_a_vector_is_refused() -> None:
    model = tiny_model("gpt2")
    own = model.transformer.forward

    def looking(*given: Any, inputs_embeds: torch.Tensor | None = None, **more: Any) -> Any:
        if inputs_embeds is not None:
            table = model.get_input_embeddings().weight
            apart = torch.cdist(inputs_embeds.flatten(0, -2).float(), table.float()).min(1).values
            if bool((apart > 1e-4).any()):
                raise RuntimeError("inputs_embeds match no row of the embedding weights")
        return own(*given, inputs_embeds=inputs_embeds, **more)

    model.transformer.forward = looking
    with pytest.raises(BackboneError, match="match no row"):
        Backbone(model, tiny_tokenizer())


def test_tokens_that_the_model_does_not_have_are_refused() -> None:
    tokenizer = copy.deepcopy(tiny_tokenizer())
    backbone = Backbone(tiny_model("llama"), tokenizer)
    tokenizer.add_tokens([f"<new{n}>" for n in range(VOCABULARY)])
    with pytest.raises(DataError, match=rf"'<new\d+>' has the number \d+, and .* has {VOCABULARY}"):
        backbone.encode(f"great <new{VOCABULARY - 1}>")
    tokenizer.eos_token = f"<new{VOCABULARY - 1}>"
    with pytest.raises(BackboneError, match="resize its embeddings"):
        Backbone(tiny_model("llama"), tokenizer)


def test_an_opening_token_that_is_never_put_need_not_be_known() -> None:
    tokenizer = copy.deepcopy(tiny_tokenizer())
    tokenizer.add_tokens([f"<new{n}>" for n in range(VOCABULARY)])
    tokenizer.bos_token = f"<new{VOCABULARY - 1}>"
    assert Backbone(tiny_model("llama"), tokenizer).bos is None


def test_an_encoders_own_tokens_have_to_be_known() -> None:
    tokenizer = copy.deepcopy(tiny_tokenizer("encoder"))
    tokenizer.add_tokens([f"<new{n}>" for n in range(VOCABULARY)])
    tokenizer.sep_token = f"<new{VOCABULARY - 1}>"
    with pytest.raises(BackboneError, match="resize its embeddings"):
        EncoderClassifier(tiny_encoder_model("bert"), tokenizer)
