"""Tiny backbones of several architectures, with random weights and a tokenizer made on the spot."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch

from softprompt.backbones import Backbone, EncoderClassifier, EncoderDecoder
from softprompt.tasks import Task

VOCABULARY = 320
SENTENCES = [
    "great coffee and friendly staff",
    "the parcel was late and the box was broken",
    "it opens at nine",
    "giao hàng nhanh, đóng gói cẩn thận",
    "phục vụ quá chậm, không quay lại",
    "Sentiment: positive negative neutral",
]


@cache
def tiny_tokenizer(kind: str = "decoder") -> Any:
    """A byte-level BPE tokenizer with BOS, EOS and PAD.

    Args:
        kind: what it puts around a text: `decoder` (BOS before), `encoder_decoder` (EOS behind) or
            `encoder` (both, called CLS and SEP).
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(SENTENCES, trainer)
    around = {"decoder": "<s> $A", "encoder_decoder": "$A </s>", "encoder": "<s> $A </s>"}[kind]
    raw.post_processor = processors.TemplateProcessing(
        single=around, special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    names = {
        "decoder": {"bos_token": "<s>", "eos_token": "</s>"},
        "encoder_decoder": {"eos_token": "</s>"},
        "encoder": {"cls_token": "<s>", "sep_token": "</s>"},
    }[kind]
    return PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", **names)


def tiny_model(architecture: str) -> Any:
    """A random model of two or three small layers."""
    import transformers as hf

    common = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    configs: dict[str, Callable[[], Any]] = {
        "llama": lambda: hf.LlamaConfig(**common),
        "gpt2": lambda: hf.GPT2Config(
            vocab_size=VOCABULARY,
            n_embd=32,
            n_layer=2,
            n_head=4,
            n_positions=128,
            bos_token_id=1,
            eos_token_id=2,
            resid_pdrop=0.5,
            attn_pdrop=0.5,
            embd_pdrop=0.5,
        ),
        "qwen3": lambda: hf.Qwen3Config(**common, head_dim=8),
        "gemma": lambda: hf.GemmaConfig(**common, head_dim=8),
        "gemma3": lambda: hf.Gemma3TextConfig(
            **{**common, "num_hidden_layers": 3},
            head_dim=8,
            sliding_window=6,
            layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        ),
        "gemma2": lambda: hf.Gemma2Config(
            **common,
            head_dim=8,
            sliding_window=6,
            attn_logit_softcapping=2.0,
            final_logit_softcapping=5.0,
            query_pre_attn_scalar=8,
        ),
        "gpt_oss": lambda: hf.GptOssConfig(
            **common,
            head_dim=8,
            sliding_window=6,
            num_local_experts=2,
            num_experts_per_tok=1,
            layer_types=["sliding_attention", "full_attention"],
        ),
        "mistral": lambda: hf.MistralConfig(**common, sliding_window=6),
    }
    torch.manual_seed(0)
    config = configs[architecture]()
    with torch.random.fork_rng():
        model = hf.AutoModelForCausalLM.from_config(config)
        for parameter in model.parameters():
            # Larger weights than usual, so that attention matters to the output.
            parameter.data.mul_(3.0 if parameter.dim() > 1 else 1.0)
    return model.float()


ARCHITECTURES = (
    "llama", "gpt2", "qwen3", "gemma", "gemma2", "gemma3", "gpt_oss", "mistral",
)  # fmt: skip


@cache
def tiny_encoder_decoder(architecture: str = "t5") -> EncoderDecoder:
    """A frozen tiny encoder-decoder; the same object for the same name."""
    model = tiny_encoder_decoder_model(architecture)
    return EncoderDecoder(model, tiny_tokenizer("encoder_decoder"))


ENCODERS = ("bert", "roberta", "distilbert", "electra", "deberta", "modernbert")


@cache
def tiny_encoder(architecture: str = "bert") -> EncoderClassifier:
    """A frozen tiny encoder; the same object for the same name."""
    return EncoderClassifier(tiny_encoder_model(architecture), tiny_tokenizer("encoder"))


def tiny_encoder_model(architecture: str) -> Any:
    """A random model of two small layers."""
    import transformers as hf

    common = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 130,
        "pad_token_id": 0,
    }
    made: dict[str, Callable[[], Any]] = {
        "bert": lambda: hf.BertModel(hf.BertConfig(**common)),
        "roberta": lambda: hf.RobertaModel(hf.RobertaConfig(**common)),
        "distilbert": lambda: hf.DistilBertModel(
            hf.DistilBertConfig(
                vocab_size=VOCABULARY,
                dim=32,
                hidden_dim=64,
                n_layers=2,
                n_heads=4,
                max_position_embeddings=130,
            )
        ),
        "electra": lambda: hf.ElectraModel(hf.ElectraConfig(**common, embedding_size=32)),
        "deberta": lambda: hf.DebertaV2Model(
            hf.DebertaV2Config(**common, relative_attention=True, pos_att_type=["p2c", "c2p"])
        ),
        "modernbert": lambda: hf.ModernBertModel(
            hf.ModernBertConfig(
                **common,
                cls_token_id=1,
                sep_token_id=2,
                bos_token_id=1,
                eos_token_id=2,
                local_attention=8,
                reference_compile=False,
            )
        ),
    }
    torch.manual_seed(0)
    with torch.random.fork_rng():
        model = made[architecture]()
        for parameter in model.parameters():
            # Larger than usual, so that what is read matters to the output.
            parameter.data.mul_(12.0 if parameter.dim() > 1 else 1.0)
    return model.float()


ENCODER_DECODERS = ("t5", "t5-v1.1", "mt5", "umt5")


def tiny_encoder_decoder_model(architecture: str, encoder_layers: int = 3) -> Any:
    """A random model with so many encoder layers and two decoder layers."""
    import transformers as hf

    common = {
        "vocab_size": VOCABULARY,
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 64,
        "num_layers": encoder_layers,
        "num_decoder_layers": 2,
        "num_heads": 4,
        "relative_attention_num_buckets": 8,
        "relative_attention_max_distance": 16,
        "pad_token_id": 0,
        "eos_token_id": 2,
        "decoder_start_token_id": 3,
    }
    gated = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
    made: dict[str, Callable[[], Any]] = {
        "t5": lambda: hf.T5ForConditionalGeneration(hf.T5Config(**common)),
        "t5-v1.1": lambda: hf.T5ForConditionalGeneration(hf.T5Config(**common, **gated)),
        "mt5": lambda: hf.MT5ForConditionalGeneration(hf.MT5Config(**common)),
        "umt5": lambda: hf.UMT5ForConditionalGeneration(hf.UMT5Config(**common)),
    }
    torch.manual_seed(0)
    with torch.random.fork_rng():
        model = made[architecture]()
        for name, parameter in model.named_parameters():
            # Larger than usual, so that distances and what is read matter to the output.
            if "relative_attention_bias" in name:
                parameter.data.mul_(6.0)
            elif parameter.dim() > 1 and "shared" not in name:
                parameter.data.mul_(2.0)
    return model.float()


@cache
def tiny_backbone(architecture: str = "llama") -> Backbone:
    """A frozen tiny backbone; the same object for the same name."""
    return Backbone(tiny_model(architecture), tiny_tokenizer())


def feedback_rows(count: int) -> list[dict[str, str]]:
    """Rows whose label follows from a word: learnable by a tiny random model."""
    words = {"good": ["great", "friendly", "nhanh"], "bad": ["late", "broken", "chậm"]}
    rows = []
    for number in range(count):
        label = "good" if number % 2 else "bad"
        word = words[label][number % 3]
        rows.append(
            {"text": f"the {word} parcel number {number}", "label": label, "part": "ab"[number % 2]}
        )
    return rows


def feedback_task(folder: Path, count: int = 60) -> Task:
    """A task from a file of `feedback_rows` in a folder."""
    file = folder / "feedback.jsonl"
    lines = [json.dumps(row, ensure_ascii=False) for row in feedback_rows(count)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Task.from_file(file)


def save_tiny(folder: Path, architecture: str = "llama") -> Path:
    """A model folder as `save_pretrained` makes it."""
    if architecture in ENCODER_DECODERS:
        tiny_encoder_decoder_model(architecture).save_pretrained(folder)
        tiny_tokenizer("encoder_decoder").save_pretrained(folder)
        return folder
    if architecture in ENCODERS:
        tiny_encoder_model(architecture).save_pretrained(folder)
        tiny_tokenizer("encoder").save_pretrained(folder)
        return folder
    tiny_model(architecture).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder
