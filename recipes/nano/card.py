"""The model card and the training curve of an exported model.

Everything stated here is read from the run: settings, progress, log and shards. Does not know
what the model is good for beyond held-out bits per byte.
"""

from __future__ import annotations

import json
from pathlib import Path

from recipes.nano import ancestor
from recipes.nano.corpus import HELD_OUT_PER_THOUSAND
from recipes.nano.shards import Shard
from recipes.nano.train import Trainer

_CARD = """\
# nano

A small causal language model (Llama architecture) made from scratch by `recipes/nano`. It is a
frozen backbone for soft prompts that needs no download; it follows no instructions.

| | |
|---|---|
| version | {version} |
| parameters | {parameters:,} ({layers} layers of {hidden}, tied embeddings, bfloat16) |
| tokenizer | byte-level BPE of {vocabulary:,} entries, NFC, adds BOS and no EOS |
| window | {context:,} tokens |
{begun}| training | {steps:,} steps, {tokens:,} tokens, {hours:.1f} hours on {threads} CPU threads |
| state | {state} |

## Held-out bits per byte

Text that training never saw ({share:.1f}% of the documents, chosen by a hash of their content), in
windows of {context:,} tokens; bits of the text's tokens divided by its UTF-8 bytes.

| text | tokens seen | held-out bytes | bits per byte |
|---|---|---|---|
{rows}
{curve}
## Data

{data}
## Limits

- It has read {total:,} tokens ({labels}).
  What it writes is often wrong, and it can repeat what its texts hold, their views and the
  manners of their time included.
- It is not fit to answer questions or to be shown to users as a writer. It is meant to be frozen
  and steered by trained vectors on narrow tasks.
- Positions beyond {context:,} tokens were never trained; windows had {lengths} tokens in the stable
  phase and {cooldown_lengths} in the cool-down.
- Held-out pieces of a book or article can stand next to pieces that training saw, so the numbers
  above are for text of the same kind, not for new domains.
"""


def write(
    trainer: Trainer,
    shards: dict[str, Shard],
    held_out: dict[str, float],
    data: str,
    has_curve: bool,
) -> str:
    """Return the card as Markdown."""
    settings, progress = trainer.settings, trainer.progress
    before = ancestor.read(trainer.output)
    begun = f"| begun with | version {before.version}, {before.tokens:,} tokens |\n"
    rows = "\n".join(
        f"| {label} | {trainer.mixture.tokens_drawn[label]:,} | {shard.held_out_bytes:,} "
        f"| {f'{held_out[label]:.3f}' if label in held_out else '-'} |"
        for label, shard in shards.items()
    )
    return _CARD.format(
        version=settings.version,
        begun=begun if before.version else "",
        total=progress.tokens + before.tokens,
        lengths=settings.lengths,
        cooldown_lengths=settings.cooldown_lengths,
        parameters=sum(weight.numel() for weight in trainer.model.parameters()),
        layers=settings.layers,
        hidden=settings.hidden,
        vocabulary=trainer.tokenizer.get_vocab_size(),
        context=settings.context,
        steps=progress.step,
        tokens=progress.tokens,
        hours=progress.seconds / 3600,
        threads=trainer.threads,
        state="finished" if progress.finished else "preliminary: the learning rate has not fallen",
        share=HELD_OUT_PER_THOUSAND / 10,
        rows=rows,
        curve="\n![training loss and held-out bits per byte](curve.png)\n" if has_curve else "",
        data=data,
        labels=", ".join(shards),
    )


def list_files(shards: dict[str, Shard]) -> str:
    """Return the data section of a model whose texts nobody described."""
    rows = (f"- {label}: {', '.join(shard.files)} (bytes)\n" for label, shard in shards.items())
    return "".join(rows)


def draw_curve(log: Path, path: Path) -> bool:
    """Draw loss and held-out bits per byte over tokens; return False where there is nothing."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    entries = [json.loads(line) for line in lines]
    losses = [(e["tokens"] / 1e6, e["loss"]) for e in entries if "loss" in e]
    measured = [(e["tokens"] / 1e6, e["bits_per_byte"]) for e in entries if "bits_per_byte" in e]
    if not losses:
        return False
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, *rest = figure.subplots(1, 2 if measured else 1, squeeze=False)[0]
    left.plot(*zip(*losses, strict=True), linewidth=0.8)
    left.set(xlabel="million tokens", ylabel="training loss (nats per token)")
    left.set_ylim(top=min(7.0, max(loss for _, loss in losses)))
    for right in rest:
        for label in measured[-1][1]:
            points = [(tokens, values[label]) for tokens, values in measured if label in values]
            right.plot(*zip(*points, strict=True), marker=".", label=label)
        right.set(xlabel="million tokens", ylabel="held-out bits per byte (sample)")
        right.legend()
    figure.savefig(path, dpi=80)
    return True
