"""A frozen model with its tokenizer: what backbones of every kind have in common.

It knows sizes, tokens and embeddings; what a model makes of them is the kinds' own matter.

Shapes: V vocabulary, D hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from threading import RLock
from typing import Any

import torch
from torch import Tensor

from softprompt.backbones.fingerprint import module_fingerprint, tokenizer_fingerprint
from softprompt.backbones.model_config import window_of
from softprompt.errors import BackboneError, DataError, SoftPromptError
from softprompt.locale import _

__all__ = ["FrozenModel", "Identity"]


@dataclass(frozen=True)
class Identity:
    """What names a backbone: the fingerprints decide, name and revision inform.

    Args:
        name: hub id, path or `nano`.
        revision: commit or version, where one is known.
        weights: SHA-256 of the weights.
        tokenizer: SHA-256 of the tokenizer.
    """

    name: str
    revision: str | None
    weights: str
    tokenizer: str


class FrozenModel:
    """A model whose weights stay as they are.

    Args:
        model: of Transformers; it is put in eval mode and its weights are frozen.
        tokenizer: its tokenizer.
        identity: what names it; worked out from the content when absent.
        dtype: `"fp32"`, `"bf16"` or `"fp16"`, what it computes in.
        settings: how it was loaded, for the run's plan.

    Attributes:
        turn: held while the model's own layers compute, since they are switched between attention
            functions; threads take turns.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        identity: Identity | None = None,
        dtype: str = "fp32",
        settings: dict[str, Any] | None = None,
    ) -> None:
        self.model, self.tokenizer, self.dtype = model, tokenizer, dtype
        self.settings = dict(settings or {})
        self.turn = RLock()
        self.model.eval().requires_grad_(False)
        if identity is None:
            name = getattr(self.model.config, "name_or_path", "") or type(self.model).__name__
            identity = Identity(
                name, None, module_fingerprint(self.model), tokenizer_fingerprint(self.tokenizer)
            )
        self.identity = identity
        config = self.model.config.get_text_config()
        self.hidden_size: int = config.hidden_size
        self.layers: int = config.num_hidden_layers
        self.vocabulary: int = config.vocab_size
        self.window: int = window_of(config)
        for token in (self.bos, self.eos):
            self._refuse_unknown(token or 0, BackboneError)
        self._body = self.model.base_model
        self._embedding = self.model.get_input_embeddings()
        width = self._embedding.weight.shape[-1]
        if width != self.hidden_size:
            raise BackboneError(
                _(
                    "The input embeddings of {name!r} have {width} numbers and its layers"
                    " {hidden}; models that project between the two are not read."
                ).format(name=self.identity.name, width=width, hidden=self.hidden_size),
                _("Choose a model whose embeddings are as wide as its layers."),
            )

    @property
    def device(self) -> torch.device:
        """Where embeddings live."""
        return self._embedding.weight.device  # type: ignore[no-any-return]

    @property
    def compute_dtype(self) -> torch.dtype:
        """What embeddings and hidden states are made of."""
        return self._embedding.weight.dtype  # type: ignore[no-any-return]

    @property
    def embedding_table(self) -> Tensor:
        """[V, D] input embeddings as they are stored (constants)."""
        return self._embedding.weight.detach()  # type: ignore[no-any-return]

    @cached_property
    def embedding_scale(self) -> float:
        """Root mean square of the input embeddings as they go into the model.

        Some models (Gemma) multiply what is stored by the root of the hidden size.
        """
        squares = [float(part.float().square().mean(1).sum()) for part in _blocks(self)]
        stored = float((sum(squares) / len(self.embedding_table)) ** 0.5)
        return stored * float(getattr(self._embedding, "embed_scale", 1.0))

    @property
    def weight_bytes(self) -> int:
        """Memory of all parameters, tied ones once."""
        return sum(p.numel() * p.element_size() for p in self.model.parameters())

    @property
    def parameters(self) -> int:
        """Number of parameters, tied ones once."""
        return sum(p.numel() for p in self.model.parameters())

    @cached_property
    def bos(self) -> int | None:
        """The id that opens a sequence, or None where the tokenizer does not add one."""
        bos = self.tokenizer.bos_token_id
        if bos is None:
            return None
        opened = self.tokenizer("a", add_special_tokens=True).input_ids
        return int(bos) if opened and opened[0] == bos else None

    @property
    def eos(self) -> int:
        """The id that ends an answer."""
        eos = self.tokenizer.eos_token_id
        assert eos is not None, "load_backbone refuses tokenizers without an end token"
        return int(eos)

    @cached_property
    def ends(self) -> frozenset[int]:
        """The ids that end a text: `eos`, and those that the model's own settings name."""
        settings = getattr(self.model, "generation_config", None)
        named = getattr(settings, "eos_token_id", None)
        further = named if isinstance(named, list) else [] if named is None else [named]
        return frozenset([self.eos, *map(int, further)])

    @classmethod
    def check_tokenizer(cls, tokenizer: Any, name: str) -> None:
        """Refuses a tokenizer that lacks a token which is needed.

        Raises:
            BackboneError: which.
        """
        if tokenizer.eos_token_id is None:
            raise BackboneError(
                _("The tokenizer of {name!r} has no end token, which ends every answer.").format(
                    name=name
                ),
                _("Set `{token}` in its tokenizer_config.json.").format(token="eos_token"),
            )

    @property
    def chat(self) -> Callable[[list[dict[str, str]]], str] | None:
        """The tokenizer's chat template with the generation prompt and without the opening token,
        or None where it has none.

        What is returned raises a DataError where the template refuses a conversation.
        """
        if not getattr(self.tokenizer, "chat_template", None):
            return None

        def chat(messages: list[dict[str, str]]) -> str:
            from jinja2 import TemplateError

            try:
                text = self.tokenizer.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=True
                )
            except TemplateError as error:
                raise DataError(
                    _("The model's chat template refuses the conversation ({reason}).").format(
                        reason=error
                    ),
                    _("Change its messages, or leave the template out with --chat off."),
                ) from error
            # A template writes the opening token as text; whoever lays a row out puts it already.
            return str(text).removeprefix(self.opening)

        return chat

    @property
    def opening(self) -> str:
        """The opening token as text; empty where there is none."""
        return str(self.tokenizer.bos_token or "") if self.bos is not None else ""

    def encode(self, text: str) -> list[int]:
        """Token ids of one segment of text, without special tokens added.

        Raises:
            DataError: the tokenizer gives one that the model does not have.
        """
        # A text longer than the window is told of by whoever cannot use it, not by the tokenizer.
        ids = list(self.tokenizer(text, add_special_tokens=False, verbose=False).input_ids)
        self._refuse_unknown(max(ids, default=0), DataError)
        return ids

    def _refuse_unknown(self, token: int, error: type[SoftPromptError]) -> None:
        """Refuses a token that the tokenizer has and the model has not, by that error."""
        if token >= self.vocabulary:
            raise error(
                _("The token {text!r} has the number {n}, and {name} has {all} tokens.").format(
                    text=self.tokenizer.convert_ids_to_tokens(token),
                    n=token,
                    name=self.identity.name,
                    all=self.vocabulary,
                ),
                _("Use the model's own tokenizer, or resize its embeddings for added tokens."),
            )

    def embed(self, ids: Tensor) -> Tensor:
        """Input embeddings of ids, [..., D]."""
        return self._embedding(ids)  # type: ignore[no-any-return]


def _blocks(model: FrozenModel, rows: int = 8192) -> Sequence[Tensor]:
    """The embedding table in blocks, so that no whole copy in fp32 is made."""
    return torch.split(model.embedding_table, rows)
