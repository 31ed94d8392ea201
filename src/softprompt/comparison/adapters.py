"""LoRA (Hu et al. 2021, arXiv 2106.09685) in a backbone, by PEFT: put in, kept, read, taken off.

W + (alpha / r) B A with A [r, inputs] and B [outputs, r] trained; alpha is twice the rank r. It
does not know what the matrices learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from softprompt.backbones import Backbone, Context
from softprompt.backbones.lora import TENSORS
from softprompt.comparison.learner import Learner
from softprompt.errors import UsageError
from softprompt.locale import _
from softprompt.storage import atomic_folder

__all__ = ["Adapter", "SuffixBackbone", "folder_bytes"]

_NAME = "default"
_TASKS = {"pooled": "FEATURE_EXTRACTION", "encoder_decoder": "SEQ_2_SEQ_LM"}
"""What backbones that are no decoders do, as PEFT names it."""


class Adapter:
    """LoRA's matrices in the linear layers of a backbone.

    The layers are changed in place, so the backbone computes with them.

    Args:
        learner: whose backbone's layers get them.
        rank: of the matrices.
        seed: of their first values.

    Raises:
        UsageError: the model has no layers that take them.
    """

    def __init__(self, learner: Learner, rank: int, seed: int) -> None:
        from peft import LoraConfig, TaskType, get_peft_model

        backbone = learner.backbone
        settings = LoraConfig(
            task_type=_TASKS.get(backbone.form, TaskType.CAUSAL_LM),
            r=rank,
            lora_alpha=2 * rank,
            target_modules="all-linear",
        )
        self.learner = learner
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            try:
                self.model: Any = get_peft_model(backbone.model, settings)
            except ValueError as error:
                raise UsageError(
                    _("LoRA finds no layers in {model} ({error}).").format(
                        model=type(backbone.model).__name__, error=str(error).splitlines()[0]
                    ),
                    _("The nearest that works is soft_prompt."),
                ) from error

    @property
    def parameters(self) -> int:
        """Numbers in the matrices, and in the head where there is one."""
        matrices = (p for name, p in self.model.named_parameters() if "lora_" in name)
        return sum(p.numel() for p in (*matrices, *self.learner.prompts))

    def save(self, folder: Path) -> int:
        """Writes PEFT's own folder, in the precision that the matrices learn in; returns its bytes.

        PEFT keeps them in fp32 over a model in bf16 or fp16. Rounding them to the model's precision
        changes answers (benchmarks/LOG.md, "LoRA is stored as it was trained").
        """
        from peft import get_peft_model_state_dict
        from safetensors.torch import save_file

        matrices = get_peft_model_state_dict(self.model, save_embedding_layers=False)
        tensors = {name: part.detach().cpu().contiguous() for name, part in matrices.items()}
        settings, identity = self.model.peft_config[_NAME], self.learner.backbone.identity
        place = Path(settings.base_model_name_or_path or identity.name)
        if place.is_dir():
            settings.base_model_name_or_path = str(place.absolute())
        else:
            settings.revision = identity.revision
        with atomic_folder(folder) as fresh:
            settings.save_pretrained(str(fresh))
            save_file(tensors, str(fresh / TENSORS), {"format": "pt"})
            self.learner.save_head(fresh)
        return folder_bytes(folder)

    def read(self, folder: Path) -> None:
        """Puts stored matrices in the place of the present ones."""
        from peft import set_peft_model_state_dict
        from safetensors.torch import load_file

        set_peft_model_state_dict(self.model, load_file(folder / TENSORS))
        self.learner.read_head(folder)

    def off(self) -> Any:
        """A context manager in which the model computes as if there were no adapter."""
        return self.model.disable_adapter()

    def remove(self) -> Backbone:
        """Puts the model's own layers back; the backbone is what it was."""
        self.model.unload()
        self.learner.backbone.model.requires_grad_(False)
        return self.learner.backbone


class SuffixBackbone(Backbone):
    """A backbone whose adapter is off while contexts are encoded: they stay the frozen model's."""

    adapter: Adapter | None = None

    @classmethod
    def of(cls, backbone: Backbone) -> SuffixBackbone:
        """The same model and tokenizer, without an adapter yet."""
        return cls(
            backbone.model,
            backbone.tokenizer,
            backbone.identity,
            backbone.dtype,
            backbone.settings,
        )

    @torch.no_grad()
    def encode_context(self, rows: Sequence[Sequence[int]]) -> Context:
        """Keys and values by the frozen model alone (see `Backbone.encode_context`)."""
        if self.adapter is None:
            return super().encode_context(rows)
        with self.adapter.off():
            return super().encode_context(rows)


def folder_bytes(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
