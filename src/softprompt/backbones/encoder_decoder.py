"""A frozen encoder-decoder (T5 family) whose decoder is continued from a cached encoder output.

    encoder reads [ text, end token ]  ->  keys and values of the decoder's cross-attention
    decoder    [ start token, prompt vectors, answers as branches ]

With the prompt in the decoder, what the encoder makes of a text is a constant: the keys and values
that each decoder layer reads across are the `Context`, computed once. With vectors in the encoder
the same keys and values are computed in the pass, and gradients flow through them.

Shapes: B contexts, R rows that continue them, E tokens that the encoder reads, T context tokens,
N decoder positions, S written positions, D hidden size, H heads, d head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from softprompt.backbones.backbone import Backbone, Run
from softprompt.backbones.beside import Beside
from softprompt.backbones.context import Context
from softprompt.backbones.inserted import Inserted
from softprompt.backbones.passing import Pass
from softprompt.backbones.probe import probe_encoder_decoder
from softprompt.backbones.relative_stack import RelativeStack, StackPass
from softprompt.errors import BackboneError

__all__ = ["EncoderDecoder"]


@dataclass
class _Written:
    """What rows that grow have so far: their context, and keys and values [R, H, S, d] by layer."""

    context: Context
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]


class EncoderDecoder(Backbone):
    """A frozen model of the T5 family (Raffel et al. 2020, arXiv 1910.10683) with its tokenizer.

    Args:
        as for `Backbone`, with a conditional-generation model.

    Raises:
        BackboneError: the layers are not those of the T5 family, or give other logits.
    """

    form: ClassVar[str] = "encoder_decoder"

    def _exact_run(self) -> Run:
        self._encoder = RelativeStack(self.model.get_encoder(), decoder=False)
        self._decoder = RelativeStack(self.model.get_decoder(), decoder=True)
        # A prompt may stand on both sides; the side with fewer layers leaves the rest alone.
        self.layers = max(len(self._encoder), len(self._decoder))
        self._run = self._through_decoder
        # Which members of the family scale their logits is said in different places, or nowhere.
        for scale in (self.hidden_size**-0.5, 1.0):
            self._scale = scale
            with suppress(BackboneError):
                probe_encoder_decoder(self)
                return self._run
        probe_encoder_decoder(self)
        return self._run

    @property
    def start(self) -> int:
        """The id that the decoder starts with."""
        return int(getattr(self.model.config, "decoder_start_token_id", None) or 0)

    @property
    def closing(self) -> tuple[int, ...]:
        """The end token, where the tokenizer puts it behind a text."""
        closed = self.tokenizer("a", add_special_tokens=True).input_ids
        return (self.eos,) if closed and closed[-1] == self.eos else ()

    @torch.no_grad()
    def encode_context(self, rows: Sequence[Sequence[int]]) -> Context:
        """Keys and values that the decoder reads across, of texts read as one right-padded batch.

        Padding is exact here: no real token attends to it.
        """
        width = max(map(len, rows), default=0)
        if width == 0:
            return Context.empty(len(rows), self.device)
        ids_BE = torch.zeros(len(rows), width, dtype=torch.long)
        for b, row in enumerate(rows):
            ids_BE[b, : len(row)] = torch.as_tensor(row, dtype=torch.long)
        lengths_B1 = torch.tensor([[len(row)] for row in rows])
        slots_E = torch.arange(width)
        position_BE = torch.where(slots_E < lengths_B1, slots_E, -1)
        return self.read(self.embed(ids_BE.to(self.device)), position_BE.to(self.device))

    def read(
        self,
        embeds_RED: Tensor,
        position_RE: Tensor,
        inserted: Inserted | None = None,
        beside: Beside | None = None,
    ) -> Context:
        """The context that vectors make when the encoder reads them; gradients flow through it.

        Args:
            embeds_RED: embedded tokens and prompt vectors.
            position_RE: of each in the text; -1 for padding, which stands on the right.
            inserted: what comes into the encoder's layers after the first.
            beside: keys and values beside the encoder's own.
        """
        key_RS = position_RE if beside is None else torch.cat([beside.position_RQ, position_RE], 1)
        seen_RS = key_RS >= 0
        mask_RS = torch.zeros(seen_RS.shape, dtype=embeds_RED.dtype, device=seen_RS.device)
        mask_RS = mask_RS.masked_fill_(~seen_RS, torch.finfo(embeds_RED.dtype).min)
        if beside is None:
            # Where padding would stand makes no difference, and one row's biases suit all.
            position_RE = torch.arange(position_RE.shape[1], device=position_RE.device)[None]
        read_RED = self._encoder(
            StackPass(embeds_RED, position_RE, mask_RS[:, None, None], inserted, beside)
        )
        keys, values = self._decoder.keys_across(read_RED)
        lengths_R = seen_RS[:, -embeds_RED.shape[1] :].sum(1)
        return Context(keys, values, lengths_R)

    def _through_decoder(self, context: Context, step: Pass) -> Tensor:
        return step.wanted(self._decoded(context, step, step.beside))

    def _decoded(
        self,
        context: Context,
        step: Pass,
        beside: Beside | None,
        keep: list[tuple[Tensor, Tensor]] | None = None,
        inputs: list[Tensor] | None = None,
    ) -> Tensor:
        """[R, N, D] last hidden states of the decoder."""
        across = None
        if not bool((context.lengths_B == context.width).all()):
            slots_T = torch.arange(context.width, device=context.lengths_B.device)
            unread_BT = slots_T >= context.lengths_B[:, None]
            across = torch.zeros(
                unread_BT.shape, dtype=step.embeds_RND.dtype, device=unread_BT.device
            ).masked_fill_(unread_BT, torch.finfo(step.embeds_RND.dtype).min)[:, None, None]
        return self._decoder(
            StackPass(
                step.embeds_RND,
                step.position_RN,
                step.mask(None, None),
                step.inserted,
                beside,
                context,
                across,
                keep,
                inputs,
            )
        )

    def cache(self, context: Context, step: Pass) -> _Written:
        """The contexts, and keys and values beside the first pass."""
        beside = step.beside
        return _Written(context, *((beside.keys, beside.values) if beside else ((), ())))

    def places(self, context: Context) -> Tensor:
        """[B, 0]: what the encoder read has no place in the decoder's sequence."""
        return context.lengths_B.new_zeros(context.rows, 0)

    def over_cache(
        self, cache: Any, step: Pass, context: Context | None, *, grouped: bool = False
    ) -> Tensor:
        """Hidden states [U, D] of positions behind those that the cache holds, which grows."""
        beside = step.beside and Beside(cache.keys, cache.values, step.beside.position_RQ)
        kept: list[tuple[Tensor, Tensor]] = []
        hidden_RND = self._decoded(cache.context, step, beside, kept)
        news = ([pair[part] for pair in kept] for part in (0, 1))
        cache.keys, cache.values = (
            tuple(torch.cat(pair, 2) for pair in zip(old[: len(new)], new, strict=True))
            if old
            else tuple(new)
            for old, new in zip((cache.keys, cache.values), news, strict=True)
        )
        return step.wanted(hidden_RND)

    def decoder_layers(self) -> list[nn.Module]:
        """The decoder's blocks."""
        return list(self.model.get_decoder().block)

    @property
    def key_shapes(self) -> tuple[tuple[int, int], ...]:
        """Heads H and head size d of each layer; of the longer side."""
        longer = max(self._encoder, self._decoder, key=len)
        return longer.heads

    @torch.no_grad()
    def layer_inputs(self, embeds_PD: Tensor, *, encoder: bool = False) -> Tensor:
        """[L, P, D] what comes into each layer of a side, in fp32.

        Args:
            embeds_PD: vectors that the encoder reads alone, or that follow the decoder's start.
            encoder: whose layers.
        """
        inputs, _ = self._begun(embeds_PD, encoder)
        return torch.stack(self._filled([x[0].float().cpu() for x in inputs]))

    @torch.no_grad()
    def key_values(
        self, embeds_PD: Tensor, *, encoder: bool = False
    ) -> list[tuple[Tensor, Tensor]]:
        """Keys and values [H, P, d], fp32, of each layer of a side, as for `layer_inputs`."""
        _, pairs = self._begun(embeds_PD, encoder)
        return self._filled([(k[0].float().cpu(), v[0].float().cpu()) for k, v in pairs])

    def _filled(self, found: list[Any]) -> list[Any]:
        """As many as the longer side has layers, the last again where there are fewer."""
        return [*found, *[found[-1]] * (self.layers - len(found))]

    def _begun(
        self, embeds_PD: Tensor, encoder: bool
    ) -> tuple[list[Tensor], list[tuple[Tensor, Tensor]]]:
        """Inputs [1, P, D] and keys and values [1, H, P, d] of each layer at some vectors."""
        ends = list(self.closing) or [self.eos]
        other = ends if encoder else [self.start]
        other_OD = self.embed(torch.tensor(other, device=self.device))
        vectors_PD = embeds_PD.to(other_OD)
        parts = [vectors_PD, other_OD] if encoder else [other_OD, vectors_PD]
        whole_1ND = torch.cat(parts)[None]
        position_1N = torch.arange(whole_1ND.shape[1], device=self.device)[None]
        inputs: list[Tensor] = []
        kept: list[tuple[Tensor, Tensor]] = []
        if encoder:
            mask = torch.zeros(1, 1, 1, whole_1ND.shape[1]).to(whole_1ND)
            self._encoder(StackPass(whole_1ND, position_1N, mask, keep=kept, inputs=inputs))
            mine = slice(0, len(vectors_PD))
        else:
            step = Pass(whole_1ND, position_1N, torch.zeros_like(position_1N))
            self._decoded(self.encode_context([ends]), step, None, kept, inputs)
            mine = slice(1, None)
        return (
            [x[:, mine] for x in inputs],
            [(key[:, :, mine], value[:, :, mine]) for key, value in kept],
        )
