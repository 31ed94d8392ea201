"""Settings of one pretraining run and how they are read from `key=value` words.

Knows the names, types and limits of the settings; does not know what the values do to a model.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
from pathlib import Path


class RecipeError(Exception):
    """A mistake in what the user gave; the message is one line and says what to do."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that shapes a run besides the text itself."""

    version: str = "1"
    """Version that the exported model carries."""
    vocabulary: int = 8192
    """Entries of the tokenizer, special tokens and the 256 bytes included."""
    tokenizer_megabytes: float = 12.0
    """Megabytes of text read per label to train the tokenizer."""
    hidden: int = 256
    """Width of the hidden state."""
    layers: int = 6
    """Number of decoder layers."""
    intermediate: int = 704
    """Width of the gated feed-forward part."""
    heads: int = 4
    """Number of attention heads; divides `hidden`."""
    context: int = 1024
    """Longest sequence of the exported model, in tokens."""
    batch_tokens: int = 8192
    """Tokens per optimizer step."""
    lengths: str = "256"
    """Sequence lengths of the stable phase, in tokens, comma-separated and taken in turn."""
    cooldown_lengths: str = "256,1024"
    """Sequence lengths of the cool-down, in tokens, comma-separated and taken in turn."""
    mix: str = ""
    """Weight of each label in the stable phase, as `vi:5,en:4`; empty: by number of tokens."""
    cooldown_mix: str = ""
    """Weight of each label in the cool-down; empty: as `mix`."""
    muon_rate: float = 0.02
    """Peak learning rate of the hidden matrices (Muon)."""
    muon_decay: float = 0.02
    """Weight decay of the hidden matrices, per unit of learning rate."""
    adam_rate: float = 0.003
    """Peak learning rate of embeddings and norms (AdamW)."""
    warmup_steps: int = 100
    """Steps of linear warm-up."""
    steps: int = 0
    """Steps of the whole run; 0: as many as `minutes` allow."""
    minutes: float = 80.0
    """Minutes of training time of the whole run, used where `steps` is 0."""
    cooldown_share: float = 0.2
    """Share of the run in which the learning rate falls to zero."""
    cooldown_steps: int = 0
    """Steps of the cool-down; 0: from `cooldown_share`."""
    checkpoint_minutes: float = 5.0
    """Minutes between checkpoints."""
    report_steps: int = 20
    """Steps between two lines of the log."""
    evaluate_steps: int = 500
    """Steps between two held-out evaluations on a small sample; 0: never."""
    read_from: float = 0.0
    """Share of every text that the first pass leaves out, read by an earlier run already."""
    seed: int = 0
    """Seed of the initial weights and of the order of the text."""
    threads: int = 0
    """CPU threads; 0: what PyTorch chooses."""
    compile: bool = True
    """Whether to compile the training step."""
    bfloat16: bool = True
    """Whether matrix products run in bfloat16."""


def parse(words: list[str], base: Settings | None = None) -> Settings:
    """Return `base` with every `key=value` word applied; an unknown key is an error."""
    kinds = {field.name: field.type for field in dataclasses.fields(Settings)}
    values: dict[str, object] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            raise RecipeError(f"--set received {word!r}; write key=value")
        if key not in kinds:
            near = difflib.get_close_matches(key, kinds, n=1, cutoff=0.0)
            raise RecipeError(f"--set received the unknown key {key!r}; the nearest is {near[0]!r}")
        values[key] = _convert(key, text, str(kinds[key]))
    settings = dataclasses.replace(base or Settings(), **values)  # type: ignore[arg-type]
    _check(settings)
    return settings


def _convert(key: str, text: str, kind: str) -> object:
    if kind == "str":
        return text
    if kind == "bool":
        if text.lower() in {"true", "false"}:
            return text.lower() == "true"
    else:
        try:
            return int(text) if kind == "int" else float(text)
        except ValueError:
            pass
    raise RecipeError(f"--set {key} received {text!r}; it takes a value of type {kind}")


def _check(settings: Settings) -> None:
    if settings.hidden % settings.heads or (settings.hidden // settings.heads) % 2:
        raise RecipeError(
            f"hidden={settings.hidden} and heads={settings.heads}: give heads that divide hidden "
            "into even parts"
        )
    if not 300 <= settings.vocabulary <= 65536:
        raise RecipeError(f"vocabulary={settings.vocabulary}: give a number from 300 to 65536")
    if not 0 < settings.cooldown_share < 1:
        raise RecipeError(f"cooldown_share={settings.cooldown_share}: give a share between 0 and 1")
    if not 0 <= settings.read_from < 1:
        raise RecipeError(f"read_from={settings.read_from}: give a share from 0 to below 1")
    for length in sequence_lengths(settings.lengths) + sequence_lengths(settings.cooldown_lengths):
        if not 2 <= length <= min(settings.context, settings.batch_tokens):
            raise RecipeError(
                f"sequence length {length}: give 2 to {settings.context} (context) and at most "
                f"batch_tokens={settings.batch_tokens}"
            )


def sequence_lengths(text: str) -> list[int]:
    """Read `256,1024` as a list of sequence lengths."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise RecipeError(f"lengths {text!r}: give whole numbers, as 256,1024") from None


def weights(text: str, sizes: dict[str, int]) -> dict[str, float]:
    """Return the share of each label in `sizes` (label to tokens); the shares sum to one."""
    chosen: dict[str, float] = {label: float(size) for label, size in sizes.items()}
    if text:
        chosen = dict.fromkeys(sizes, 0.0)
        for part in text.split(","):
            label, _, number = part.partition(":")
            if label not in sizes:
                raise RecipeError(f"mix names {label!r}; the text labels are {', '.join(sizes)}")
            try:
                chosen[label] = float(number)
            except ValueError:
                raise RecipeError(f"mix received {part!r}; write label:weight") from None
    total = sum(chosen.values())
    if total <= 0 or min(chosen.values()) < 0:
        raise RecipeError(f"mix {text!r}: give weights that are not negative and not all zero")
    return {label: weight / total for label, weight in chosen.items()}


def save(settings: Settings, path: Path) -> None:
    """Write the resolved settings as JSON."""
    path.write_text(json.dumps(dataclasses.asdict(settings), indent=2) + "\n", encoding="utf-8")


def load(path: Path) -> Settings:
    """Read what `save` wrote."""
    return Settings(**json.loads(path.read_text(encoding="utf-8")))
