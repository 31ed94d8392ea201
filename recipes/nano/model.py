"""The network and its optimizers: a plain Llama in the shape that the settings give.

Legend of shape suffixes: B rows, T tokens, D hidden width, V vocabulary.
Does not know where batches come from or how long the run is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from recipes.nano.settings import Settings
from recipes.nano.tokenizer import BOS_ID, EOS_ID, PAD_ID

Loss = Callable[[Tensor], Tensor]

INITIAL_DEVIATION = 0.02


def build(settings: Settings, vocabulary: int) -> LlamaForCausalLM:
    """Return a freshly initialised model of `vocabulary` entries, in float32."""
    torch.manual_seed(settings.seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=settings.hidden,
        num_hidden_layers=settings.layers,
        intermediate_size=settings.intermediate,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        max_position_embeddings=settings.context,
        initializer_range=INITIAL_DEVIATION,
        tie_word_embeddings=True,
        pad_token_id=PAD_ID,
        bos_token_id=BOS_ID,
        eos_token_id=EOS_ID,
    )
    model = LlamaForCausalLM(config)
    for name, weight in model.named_parameters():
        # Each block starts as the identity, which lets a high learning rate begin early.
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            nn.init.zeros_(weight)
    return model


def shifted(tokens_BT: Tensor) -> Tensor:
    """Return the inputs for predicting `tokens_BT`: BOS, then all but the last token.

    Every row starts with BOS, as every text does when the model is used, and every token of the
    shard is predicted exactly once per pass.
    """
    first_B1 = torch.full_like(tokens_BT[:, :1], BOS_ID)
    return torch.cat([first_B1, tokens_BT[:, :-1]], dim=1)


def make_loss(model: LlamaForCausalLM, settings: Settings, reduction: str = "mean") -> Loss:
    """Return a function from tokens [B, T] to their cross-entropy in nats."""

    def loss_of(embedded_BTD: Tensor, tokens_BT: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.bfloat16):
            hidden_BTD = model.model(inputs_embeds=embedded_BTD, use_cache=False)[0]
            # Flat rows make the vocabulary product one matrix product instead of B of them.
            logits_NV = model.lm_head(hidden_BTD.flatten(0, 1))
        return nn.functional.cross_entropy(
            logits_NV.float(), tokens_BT.flatten(), reduction=reduction
        )

    step = torch.compile(loss_of, dynamic=False) if settings.compile else loss_of

    def loss(tokens_BT: Tensor) -> Tensor:
        # The lookup stays outside: compiled, its gradient is summed by atomic additions of several
        # threads in no fixed order, and a resumed run could differ from an unbroken one.
        return step(model.get_input_embeddings()(shifted(tokens_BT)), tokens_BT)

    return loss


class Optimizers:
    """Muon for the hidden matrices, AdamW for embeddings and norms, as one thing.

    Muon: https://kellerjordan.github.io/posts/muon/, here `torch.optim.Muon`.
    """

    def __init__(self, model: LlamaForCausalLM, settings: Settings) -> None:
        matrices: dict[str, nn.Parameter] = {}
        others: dict[str, nn.Parameter] = {}
        for name, weight in model.named_parameters():
            hidden = weight.ndim == 2 and "embed" not in name
            (matrices if hidden else others)[name] = weight
        muon = torch.optim.Muon(
            list(matrices.values()),
            lr=settings.muon_rate,
            weight_decay=settings.muon_decay,
            momentum=0.95,
        )
        adam = torch.optim.AdamW(
            list(others.values()), lr=settings.adam_rate, betas=(0.9, 0.95), weight_decay=0.0
        )
        self._parts = [
            (muon, settings.muon_rate, matrices),
            (adam, settings.adam_rate, others),
        ]

    def step(self, scale: float) -> None:
        """Update the weights at `scale` times the peak learning rates and clear the gradients."""
        for optimizer, peak, _ in self._parts:
            for group in optimizer.param_groups:
                group["lr"] = peak * scale
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield every state tensor under a name that `restore` understands."""
        for optimizer, _, named in self._parts:
            for name, weight in named.items():
                for key, value in optimizer.state[weight].items():
                    yield f"{key}:{name}", value

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take the state over that `tensors` gave."""
        for optimizer, _, named in self._parts:
            for full_name, value in tensors.items():
                key, _, name = full_name.partition(":")
                if name in named:
                    optimizer.state[named[name]][key] = value.clone()
