"""A frozen encoder (BERT family): a head turns the hidden state at its opening token into choices.

    [CLS] text and prompt vectors [SEP] -> hidden state at [CLS] -> head, trained with the prompt

Every token sees every other, so nothing is a constant of the frozen model once a vector stands in
the row: there is no cached context, and each step computes the whole row. The head is not the
backbone's: it comes with the prompt. The answer is read where [CLS] stands, also behind vectors
that stand before it.

Shapes: R rows, N positions, D hidden size, P vectors, L layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from softprompt.backbones.backbone import Backbone, Run
from softprompt.backbones.context import Context
from softprompt.backbones.passing import Pass
from softprompt.backbones.probe import probe_encoder
from softprompt.errors import BackboneError
from softprompt.locale import _, mark

__all__ = ["EncoderClassifier"]


class EncoderClassifier(Backbone):
    """A frozen encoder with its tokenizer.

    Args:
        as for `Backbone`, with an encoder of Transformers, with or without a head of its own.

    Raises:
        BackboneError: the model does not take embeddings, or padding changes what it computes.
    """

    form: ClassVar[str] = "pooled"
    _shallower: ClassVar[str] = mark("Use a prompt of depth input.")

    def _exact_run(self) -> Run:
        # Some families count positions from the padding id on, and their window is shorter by it.
        table = getattr(getattr(self._body, "embeddings", None), "position_embeddings", None)
        if isinstance(table, nn.Embedding) and table.padding_idx is not None:
            self.window -= table.padding_idx + 1
        self._run = self._at_once
        probe_encoder(self)
        return self._run

    @classmethod
    def check_tokenizer(cls, tokenizer: Any, name: str) -> None:
        """Refuses a tokenizer without an opening and a closing token.

        Raises:
            BackboneError: which is missing.
        """
        for what in ("cls_token", "sep_token"):
            if getattr(tokenizer, f"{what}_id") is None:
                raise BackboneError(
                    _(
                        "The tokenizer of {name!r} has no {token}, which an encoder's rows need."
                    ).format(name=name, token=what),
                    _("Set `{token}` in its tokenizer_config.json.").format(token=what),
                )

    @property
    def bos(self) -> int:
        """The id whose hidden state the answer is read from."""
        return int(self.tokenizer.cls_token_id)

    @property
    def eos(self) -> int:
        """The id that closes a row."""
        return int(self.tokenizer.sep_token_id)

    @property
    def closing(self) -> tuple[int, ...]:
        """The closing token."""
        return (self.eos,)

    def encode_context(self, rows: Sequence[Sequence[int]]) -> Context:
        """No tokens: what an encoder makes of a text changes with the prompt."""
        assert not any(rows), "rows for an encoder have no context"
        return Context.empty(len(rows), self.device)

    def check_beside(self) -> None:
        """Refuses keys and values of prompts.

        Raises:
            BackboneError: always.
        """
        raise BackboneError(
            _(
                "{name} is an encoder: its layers read all positions at once and take no keys and"
                " values from outside."
            ).format(name=self.identity.name),
            _(
                "The nearest that works is --method p-tuning-v2: fresh vectors at every layer "
                "(depth deep)."
            ),
        )

    def _at_once(self, context: Context, step: Pass) -> Tensor:
        """[U, D] hidden states of whole rows, padded on the right."""
        assert not context.width, "an encoder continues nothing"
        assert step.beside is None, "an encoder takes no keys and values"
        with self.inserting(step.inserted, step.new):
            output = self._body(
                inputs_embeds=step.embeds_RND, attention_mask=(step.position_RN >= 0).long()
            )
        return step.wanted(output.last_hidden_state)

    @torch.no_grad()
    def layer_inputs(self, embeds_PD: Tensor, *, encoder: bool = False) -> Tensor:
        """[L, P, D] what comes into each layer when vectors stand between [CLS] and [SEP]; fp32."""
        around_2D = self.embed(torch.tensor([self.bos, self.eos], device=self.device))
        whole_ND = torch.cat([around_2D[:1], embeds_PD.to(around_2D), around_2D[1:]])
        output = self._body(inputs_embeds=whole_ND[None], output_hidden_states=True)
        found = [hidden[0, 1:-1].float().cpu() for hidden in output.hidden_states]
        return torch.stack(found[: self.layers])
