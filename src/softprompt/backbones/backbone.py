"""A frozen causal language model that can be continued from a cached context.

Three operations, all exact: encode contexts to keys and values, continue from them with embedded
vectors, and turn hidden states into logits. This file does not know tasks, soft prompts or
training: vectors enter as embeddings, and gradients flow to them and to nothing else.

Shapes: B contexts, R rows that continue them, T context tokens, N continued tokens, D hidden size,
V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cached_property
from inspect import signature
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import DynamicCache

from softprompt.backbones.beside import Beside
from softprompt.backbones.context import Context
from softprompt.backbones.frozen import FrozenModel, Identity
from softprompt.backbones.fused import Stack
from softprompt.backbones.inserted import Inserted, layers_of
from softprompt.backbones.log_probabilities import picked_log_probabilities
from softprompt.backbones.model_config import layer_windows, logit_scale
from softprompt.backbones.passing import Pass
from softprompt.backbones.probe import probe
from softprompt.backbones.shared_context import SharedContext, reading_contexts, register
from softprompt.errors import BackboneError
from softprompt.locale import _, mark

__all__ = ["Backbone", "Identity"]

register()

Run = Callable[[Context, Pass], Tensor]
"""From a context and what continues it to hidden states [U, D]."""


class Backbone(FrozenModel):
    """A frozen causal language model with its tokenizer.

    Args:
        model: a Transformers causal LM; it is put in eval mode and its weights are frozen.
        tokenizer: its tokenizer.
        identity: what names it; worked out from the content when absent.
        dtype: `"fp32"`, `"bf16"` or `"fp16"`, what it computes in.
        settings: how it was loaded, for the run's plan.

    Raises:
        BackboneError: the model cannot be continued exactly from a cached context.
    """

    form: ClassVar[str] = "continued"
    """How rows are laid out for it (see `softprompt.prompts.forms`)."""
    _shallower: ClassVar[str] = mark("Use a prompt of depth input or kv.")
    """What works where the layers are not found."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        identity: Identity | None = None,
        dtype: str = "fp32",
        settings: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(model, tokenizer, identity, dtype, settings)
        config = self.model.config.get_text_config()
        self._head = self.model.get_output_embeddings()
        self._softcap: float | None = getattr(config, "final_logit_softcapping", None)
        self._scale = logit_scale(config)
        self._linear_head = (
            type(self._head) is torch.nn.Linear
            and getattr(self._head, "bias", None) is None
            and self._softcap is None
        )
        self._layer_windows = layer_windows(config)
        self._key_shapes: tuple[tuple[int, int], ...] | None = None
        self._run = self._exact_run()

    @torch.no_grad()
    def encode_context(self, rows: Sequence[Sequence[int]]) -> Context:
        """Keys and values of token sequences, computed as one right-padded batch.

        Right padding is exact here: no real token attends to a later one.
        """
        lengths = [len(row) for row in rows]
        width = max(lengths, default=0)
        if width == 0:
            return Context.empty(len(rows), self.device)
        ids_BT = torch.zeros(len(rows), width, dtype=torch.long)
        for b, row in enumerate(rows):
            ids_BT[b, : len(row)] = torch.as_tensor(row, dtype=torch.long)
        ids_BT = ids_BT.to(self.device)
        # A cache without a config keeps every key: sliding layers would trim theirs, and padding
        # would then push real keys out.
        cache = DynamicCache()
        with self.turn:
            self._body(input_ids=ids_BT, use_cache=True, **self._continuing(cache))
        layers: list[Any] = cache.layers
        return Context(
            tuple(layer.keys for layer in layers),
            tuple(layer.values for layer in layers),
            torch.as_tensor(lengths, device=self.device),
        )

    @property
    def start(self) -> int:
        """The id that a decoder beside an encoder starts with."""
        return self.eos

    @property
    def closing(self) -> tuple[int, ...]:
        """Ids behind what an encoder reads; none where the text goes on with the answer."""
        return ()

    def _exact_run(self) -> Run:
        """The fastest way through the layers that gives what the model itself gives.

        Raises:
            BackboneError: none does.
        """
        kinds = getattr(self.model.config.get_text_config(), "layer_types", None)
        kinds = kinds or list(self._layer_windows) * self.layers
        self._stack = Stack.of(self._body, [self._layer_windows[kind] for kind in kinds])
        ways = [self._through_stack] if self._stack is not None else []
        for way in (*ways, self._over_shared_context):
            self._run = way
            with suppress(BackboneError):
                probe(self)
                return way
            self._stack = None
        self._run = self._over_copied_context
        probe(self)
        return self._run

    def continue_from(
        self,
        context: Context,
        embeds_RND: Tensor,
        position_RN: Tensor,
        branch_RN: Tensor,
        wanted_U: Tensor | None = None,
        inserted: Inserted | None = None,
        beside: Beside | None = None,
    ) -> Tensor:
        """Hidden states [U, D] of vectors that continue cached contexts.

        With B contexts and R = B * K rows, row r continues context r // K, whose keys and values
        are read where they lie.

        Args:
            context: keys and values of what stands before; not changed.
            embeds_RND: [R, N, D] embedded tokens and prompt vectors; gradients flow to them.
            position_RN: [R, N] position in the sequence, the context's tokens counted; -1 for
                padding, whose hidden states mean nothing.
            branch_RN: [R, N] 0 for the trunk, 1, 2, ... for branches that do not see each other.
            wanted_U: [U] places r * N + n of the positions asked for, none twice; all where absent.
            inserted: what comes into the layers after the first; gradients flow to it too.
            beside: keys and values before the new positions; gradients flow to them too.

        Raises:
            BackboneError: something is inserted and the model's layers are not found.
        """
        step = Pass(embeds_RND, position_RN, branch_RN, wanted_U, inserted, beside)
        return self._run(context, step)

    def inserting(self, inserted: Inserted | None, new: int) -> AbstractContextManager[None]:
        """Has the model's own layers get what is inserted, in passes of N new positions a row.

        Raises:
            BackboneError: the model's layers are not found.
        """
        return nullcontext() if inserted is None else inserted.at(self.decoder_layers(), new)

    def decoder_layers(self) -> list[torch.nn.Module]:
        """The model's layers, in order.

        Raises:
            BackboneError: they are not found.
        """
        layers = layers_of(self._body, self.layers)
        if layers is None:
            raise BackboneError(
                _("The layers of {name} are not in one list.").format(
                    name=type(self.model).__name__
                ),
                _(self._shallower),
            )
        return layers

    @torch.no_grad()
    def layer_inputs(self, embeds_PD: Tensor, *, encoder: bool = False) -> Tensor:
        """[L, P, D] what comes into each layer when vectors follow the opening token, in fp32.

        Args:
            embeds_PD: the vectors.
            encoder: whether an encoder's layers are meant, where there is one beside a decoder.
        """
        whole_1ND, opening = self._opened(embeds_PD)
        with self.turn:
            output = self._body(inputs_embeds=whole_1ND, use_cache=False, output_hidden_states=True)
        found = [hidden[0, opening:].float().cpu() for hidden in output.hidden_states]
        return torch.stack(found[: self.layers])

    def check_beside(self) -> None:
        """Refuses keys and values of prompts where the layers do not take them.

        Raises:
            BackboneError: keys and values are of different sizes (MLA).
        """
        context = self.encode_context([[0]])
        for key, value in zip(context.keys, context.values, strict=True):
            if key.shape != value.shape:
                raise BackboneError(
                    _(
                        "{name} keeps keys of {keys} numbers and values of {values}; prompts of"
                        " keys and values (depth kv) have as many of both."
                    ).format(name=self.identity.name, keys=key.shape[-1], values=value.shape[-1]),
                    _("The nearest that works is depth deep."),
                )

    @property
    def key_shapes(self) -> tuple[tuple[int, int], ...]:
        """Key-value heads J and head size d of each layer."""
        if self._key_shapes is None:
            keys = self.encode_context([[0]]).keys
            self._key_shapes = tuple((int(x.shape[1]), int(x.shape[3])) for x in keys)
        return self._key_shapes

    @cached_property
    def value_numbers(self) -> tuple[int, ...]:
        """Numbers of a position's values at each layer; others than of its keys with MLA."""
        values = self.encode_context([[0]]).values
        return tuple(int(x.shape[1] * x.shape[3]) for x in values)

    @property
    def position_bytes(self) -> int:
        """Memory of a position's keys and values at all layers."""
        numbers = sum(2 * heads * size for heads, size in self.key_shapes)
        return numbers * self.compute_dtype.itemsize

    @torch.no_grad()
    def key_values(
        self, embeds_PD: Tensor, *, encoder: bool = False
    ) -> list[tuple[Tensor, Tensor]]:
        """Keys and values [J, P, d], fp32, of each layer when vectors follow the opening token.

        Args:
            embeds_PD: the vectors.
            encoder: as for `layer_inputs`.
        """
        whole_1ND, opening = self._opened(embeds_PD)
        cache = DynamicCache()
        with self.turn:
            self._body(inputs_embeds=whole_1ND, use_cache=True, **self._continuing(cache))
        layers: list[Any] = cache.layers
        return [
            (layer.keys[0, :, opening:].float().cpu(), layer.values[0, :, opening:].float().cpu())
            for layer in layers
        ]

    def _opened(self, embeds_PD: Tensor) -> tuple[Tensor, int]:
        """[1, N, D] vectors after the opening token, and how many tokens that is."""
        opening = [] if self.bos is None else [self.bos]
        before_1D = self.embed(torch.tensor(opening, dtype=torch.long, device=self.device))
        return torch.cat([before_1D, embeds_PD.to(before_1D)])[None], len(opening)

    def _through_stack(self, context: Context, step: Pass) -> Tensor:
        """By layers of our own, forward and backward, as long as the weights stay as they were."""
        assert self._stack is not None
        if not self._stack.intact or torch.is_autocast_enabled(self.device.type):
            return self._over_shared_context(context, step)
        masks = {window: step.mask(context, window) for window in self._stack.windows}
        return self._stack(context, step, masks)

    def _over_shared_context(self, context: Context, step: Pass) -> Tensor:
        """By an attention function that reads the contexts beside the new positions."""
        dtype = step.embeds_RND.dtype
        windows = set(self._layer_windows.values())
        shared = SharedContext.of(context, step.position_RN, windows, dtype, step.beside)
        with self.turn, reading_contexts(self.model), self.inserting(step.inserted, step.new):
            output = self._body(
                inputs_embeds=step.embeds_RND,
                attention_mask=self._masks(None, step),
                position_ids=step.position_RN.clamp(min=0),
                use_cache=False,
                shared_context=shared,
            )
        return step.wanted(output.last_hidden_state)

    def _over_copied_context(self, context: Context, step: Pass) -> Tensor:
        """By a cache of Transformers, for models that call no attention function by name."""
        return self.over_cache(step.cache(context), step, context)

    def cache(self, context: Context, step: Pass) -> Any:
        """What `over_cache` grows: keys and values of what stands before a first pass."""
        return step.cache(context)

    def places(self, context: Context) -> Tensor:
        """[B, T] the positions of a context's tokens in their rows' sequences; -1 for padding."""
        slots_T = torch.arange(context.width, device=context.lengths_B.device)
        return torch.where(slots_T < context.lengths_B[:, None], slots_T, -1)

    def over_cache(
        self,
        cache: Any,
        step: Pass,
        context: Context | None,
        *,
        grouped: bool = False,
    ) -> Tensor:
        """Hidden states [U, D] by the model's own layers over a cache, which grows.

        Args:
            cache: keys and values of what stands before; not trimmed to a window.
            step: what comes now; the positions beside it are those that the cache holds after the
                context's.
            context: whose tokens the cache begins with; None for none.
            grouped: read keys and values as they are stored, without a copy for every head of a
                group, where the model takes the attention function that does so.
        """
        by_name = grouped and self._run != self._over_copied_context
        extra = {"shared_context": SharedContext.none(self.device)} if by_name else {}
        reading = reading_contexts(self.model) if by_name else nullcontext()
        with self.turn, reading, self.inserting(step.inserted, step.new):
            output = self._body(
                inputs_embeds=step.embeds_RND,
                attention_mask=self._masks(context, step),
                position_ids=step.position_RN.clamp(min=0),
                use_cache=True,
                **self._continuing(cache),
                **extra,
            )
        return step.wanted(output.last_hidden_state)

    def _continuing(self, cache: DynamicCache) -> dict[str, DynamicCache]:
        """The argument that gives the model a cache; Transformers renames it in 5.24."""
        known = signature(self._body.forward).parameters
        return {"cache" if "cache" in known else "past_key_values": cache}

    def _masks(self, context: Context | None, step: Pass) -> Tensor | dict[str, Tensor]:
        """What the model's layers add to scores: one mask, or one for each kind of layer."""
        masks = {kind: step.mask(context, window) for kind, window in self._layer_windows.items()}
        return masks if len(masks) > 1 else next(iter(masks.values()))

    def log_probabilities(self, hidden_UD: Tensor, pick_M: Tensor, target_M: Tensor) -> Tensor:
        """[M] fp32 log-probabilities of tokens, differentiable in the hidden states.

        Args:
            hidden_UD: [U, D] hidden states of the positions that predict.
            pick_M: [M] which of them predicts each token.
            target_M: [M] the tokens.
        """
        if self._linear_head and not self._head.weight.requires_grad:
            weight_VD = self._head.weight
            return picked_log_probabilities(hidden_UD, weight_VD, pick_M, target_M, self._scale)
        return self.logits(hidden_UD).log_softmax(-1)[pick_M, target_M]

    def logits(self, hidden_MD: Tensor) -> Tensor:
        """[M, V] logits in fp32 of hidden states [M, D].

        The states are flat on purpose: a strided [B, N, D] slice would become a batched product
        that copies the whole vocabulary matrix, forward and backward.
        """
        logits_MV: Tensor = self._head(hidden_MD).float()
        if self._scale != 1.0:
            logits_MV = logits_MV * self._scale
        if self._softcap is not None:
            logits_MV = torch.tanh(logits_MV / self._softcap) * self._softcap
        return logits_MV
