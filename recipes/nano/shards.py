"""Token shards on disk and the order in which training reads them.

One shard per label: a flat array of 16-bit tokens, each document as BOS, text, EOS. A source
reads its shard in many lanes at once, so that the rows of a batch come from distant documents
also where long documents were cut into neighbouring pieces. The position of every lane is the
whole state, so a run resumes exactly. Does not know the model.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from recipes.nano import corpus
from recipes.nano.settings import RecipeError
from recipes.nano.tokenizer import BOS_ID, EOS_ID

Tokens = npt.NDArray[np.uint16]

LANES = 64
ENCODE_DOCUMENTS = 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shard:
    """What is known of one label's tokens."""

    label: str
    files: list[str]
    tokenizer: str
    """SHA-256 of the tokenizer that made the tokens."""
    documents: int
    train_tokens: int
    held_out_documents: int
    held_out_bytes: int


def prepare(label: str, paths: list[Path], tokenizer: Tokenizer, folder: Path) -> Shard:
    """Write the shard of `label`, or read its description where it is there already."""
    fingerprint = hashlib.sha256(tokenizer.to_str().encode()).hexdigest()
    files = [f"{path.name} {path.stat().st_size if path.is_file() else 0}" for path in paths]
    about = folder / f"{label}.json"
    if about.is_file():
        shard = Shard(**json.loads(about.read_text(encoding="utf-8")))
        if shard.tokenizer == fingerprint and shard.files == files:
            return shard
    train, held_out = corpus.split(paths)
    folder.mkdir(parents=True, exist_ok=True)
    tokens = _encode(train, tokenizer)
    _write(folder / f"{label}.train.npy", tokens)
    _write(folder / f"{label}.held_out.npy", _encode(held_out, tokenizer))
    shard = Shard(
        label=label,
        files=files,
        tokenizer=fingerprint,
        documents=len(train),
        train_tokens=len(tokens),
        held_out_documents=len(held_out),
        held_out_bytes=sum(len(document.encode()) for document in held_out),
    )
    about.write_text(json.dumps(dataclasses.asdict(shard), indent=2) + "\n", encoding="utf-8")
    return shard


def _encode(documents: list[str], tokenizer: Tokenizer) -> Tokens:
    parts: list[Tokens] = []
    for start in range(0, len(documents), ENCODE_DOCUMENTS):
        batch = documents[start : start + ENCODE_DOCUMENTS]
        for encoding in tokenizer.encode_batch_fast(batch, add_special_tokens=False):
            parts.append(np.array([BOS_ID, *encoding.ids, EOS_ID], dtype=np.uint16))
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint16)


def _write(path: Path, tokens: Tokens) -> None:
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.save(file, tokens, allow_pickle=False)
    temporary.replace(path)


def read(path: Path) -> Tokens:
    """Open a shard without loading it into memory."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


class Source:
    """One label's tokens, read in turns from lanes that start evenly spread over the shard."""

    def __init__(self, tokens: Tokens, longest: int, read_from: float = 0.0) -> None:
        count = min(LANES, len(tokens) // longest)
        if count < 1:
            raise RecipeError(f"{len(tokens)} training tokens: give text of at least {longest}")
        self._tokens = tokens
        self._borders = [len(tokens) * lane // count for lane in range(count + 1)]
        self._positions = [
            start + int(read_from * (end - start))
            for start, end in zip(self._borders, self._borders[1:], strict=False)
        ]
        self._lane = 0

    def take(self, length: int) -> Tokens:
        """Return the next `length` tokens of the lane whose turn it is; a lane starts over."""
        lane = self._lane
        self._lane = (lane + 1) % len(self._positions)
        start = self._positions[lane]
        if start + length > self._borders[lane + 1]:
            start = self._borders[lane]
        self._positions[lane] = start + length
        return self._tokens[start : start + length]

    def state(self) -> dict[str, object]:
        """Return where reading stands."""
        return {
            "size": len(self._tokens),
            "lane": self._lane,
            "positions": self._positions.copy(),
        }

    def restore(self, size: int, lane: int, positions: list[int]) -> None:
        """Go on from a `state`; the shard must be the one it was taken from."""
        if size != len(self._tokens) or len(positions) != len(self._positions):
            raise RecipeError(
                f"a text of {size} tokens now has {len(self._tokens)}, or other sequence lengths; "
                "use the text and longest length of the checkpoint, a new label or a new --output"
            )
        self._lane, self._positions = lane, list(positions)


class Mixture:
    """Rows from several sources, drawn by weight; the draw depends on seed and step alone."""

    def __init__(self, sources: dict[str, Source], seed: int) -> None:
        self._sources = sources
        self._seed = seed
        self.tokens_drawn = dict.fromkeys(sources, 0)
        """Tokens taken from each label."""

    def batch(self, step: int, rows: int, length: int, shares: dict[str, float]) -> Tokens:
        """Return tokens [rows, length] for one step."""
        labels = list(self._sources)
        random = np.random.default_rng([self._seed, step])
        picks = random.choice(len(labels), size=rows, p=[shares[label] for label in labels])
        for pick in picks:
            self.tokens_drawn[labels[pick]] += length
        return np.stack([self._sources[labels[pick]].take(length) for pick in picks])

    def state(self) -> dict[str, object]:
        """Return where every source stands and how many tokens it gave."""
        return {
            label: source.state() | {"tokens": self.tokens_drawn[label]}
            for label, source in self._sources.items()
        }

    def restore(self, state: dict[str, dict[str, object]]) -> None:
        """Go on from a `state`; a source it does not name starts from its beginning."""
        for label, source in self._sources.items():
            if label in state:
                entry = state[label]
                source.restore(entry["size"], entry["lane"], entry["positions"])  # type: ignore[arg-type]
                self.tokens_drawn[label] = entry["tokens"]  # type: ignore[assignment]
