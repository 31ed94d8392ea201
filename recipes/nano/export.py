"""Writes the trained model as a standard Hugging Face folder with its card and curve.

The folder loads with plain `AutoModelForCausalLM` and `AutoTokenizer`. Files are made beside the
target and moved in one by one, so a reader never meets half a file. The numbers in the card are
measured on the exported bfloat16 weights. Does not know where the text came from: that part of
the card is given as a file.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from transformers import LlamaForCausalLM

from recipes.nano import ancestor, card
from recipes.nano.evaluate import bits_per_byte
from recipes.nano.shards import Shard
from recipes.nano.train import Trainer


def export(
    trainer: Trainer, shards: dict[str, Shard], folder: Path, data_card: Path | None
) -> dict[str, float]:
    """Write the model in `folder` and return its held-out bits per byte for every label."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as name:
        temporary = Path(name)
        _write_model(trainer, temporary)
        for path in (trainer.output / "tokenizer").iterdir():
            (temporary / path.name).write_bytes(path.read_bytes())
        held_out = _measure(trainer, temporary)
        log = trainer.output / "log.jsonl"
        has_curve = card.draw_curve(log, temporary / "curve.png")
        data = data_card.read_text(encoding="utf-8") if data_card else card.list_files(shards)
        text = card.write(trainer, shards, held_out, data, has_curve)
        (temporary / "README.md").write_text(text, encoding="utf-8")
        for path in temporary.iterdir():
            # The writer of safetensors makes files that only their owner may read.
            path.chmod(0o644)
            path.replace(folder / path.name)
    return held_out


def _write_model(trainer: Trainer, folder: Path) -> None:
    config = trainer.model.config
    config.nano_version = trainer.settings.version
    config.nano_tokens = trainer.progress.tokens + ancestor.read(trainer.output).tokens
    config.dtype = torch.bfloat16
    copy = LlamaForCausalLM(config)
    copy.load_state_dict(trainer.model.state_dict())
    copy.bfloat16()
    copy.save_pretrained(folder)


def _measure(trainer: Trainer, folder: Path) -> dict[str, float]:
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return bits_per_byte(
        model,
        trainer.settings,
        trainer.tokenizer,
        trainer.output / "shards",
        trainer.mixture.tokens_drawn,
    )
