"""Is a folder an artifact that can be served, and what does it say of itself?

An artifact is examined when it is registered, wholly: files, digests, and whether its parts fit
together, since later code takes that for granted. It does not know the backbone.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from softprompt.backbones.lora import CONFIG
from softprompt.errors import ArtifactError, SoftPromptError
from softprompt.inference.predictor import refuse_vectors
from softprompt.prompts import Scoring, SoftPrompt
from softprompt.prompts.artifact import artifact_bytes
from softprompt.prompts.depths import DEPTHS
from softprompt.prompts.peft_folder import is_peft, member_folder
from softprompt.prompts.placements import PLACEMENTS
from softprompt.tasks import Template

__all__ = [
    "FILES",
    "Facts",
    "copy_artifact",
    "details",
    "digest_of",
    "examine",
    "holds_artifact",
]

FILES = ("prompt.json", "prompt.safetensors", "README.md")
"""What an artifact is made of; nothing else of a folder is ever copied or sent."""

_DESCRIPTION, _, _CARD = FILES
_TRIES = 5
"""Times that an artifact is read again where it was saved over."""
_MOST_VECTORS = 100_000
_MOST_ADJUSTMENT = 100.0
_MOST_TOKENS = 1_000_000
_MOST_READ = 1_000_000
_DIGITS = 64


@dataclass(frozen=True, slots=True)
class Facts:
    """What decides who can serve an artifact.

    Args:
        key: its digest: the same for the same content.
        depth, width: where its vectors enter, and numbers of one.
        backbone, weights, tokenizer: name and fingerprints of its backbone; a fingerprint may be
            unknown ("").
    """

    key: str
    depth: str
    width: int
    backbone: str
    weights: str
    tokenizer: str


def holds_artifact(folder: Path) -> bool:
    """Whether a folder holds, or should hold, an artifact of this project or of PEFT."""
    signs = (_DESCRIPTION, CONFIG, f"{member_folder(0)}/{CONFIG}")
    return any(os.path.lexists(folder / name) for name in signs)


def copy_artifact(source: Path, target: Path) -> None:
    """Copies the files of an artifact, and nothing else, into a new folder.

    The card is not examined, so it is left out where it is a link: a stranger's folder must not
    have a file of this machine published as its card.
    """
    target.mkdir()
    for file in FILES:
        place = source / file
        if place.is_file() and not (file == _CARD and place.is_symlink()):
            shutil.copyfile(place, target / file)


def examine(folder: Path) -> tuple[SoftPrompt, Facts]:
    """Reads an artifact and checks all that can be checked without its backbone.

    An artifact that is saved over while it is read is read again: a description of before and
    vectors of after are nobody's mistake.

    Raises:
        ArtifactError: it cannot be served; the reason is told.
    """
    for _ in range(_TRIES):
        before = _stamps(folder)
        try:
            return _examined(folder)
        except ArtifactError:
            if _stamps(folder) == before:
                raise
    return _examined(folder)


def _stamps(folder: Path) -> list[tuple[int, int, int] | None]:
    """What tells an artifact's files from others of the same names; None where one is absent."""
    found: list[tuple[int, int, int] | None] = []
    for name in FILES:
        try:
            told = (folder / name).stat()
        except OSError:
            found.append(None)
        else:
            found.append((told.st_ino, told.st_mtime_ns, told.st_size))
    return found


def _examined(folder: Path) -> tuple[SoftPrompt, Facts]:
    """What `examine` gives, read once."""
    try:
        _check_files(folder)
        key = digest_of(folder)
        prompt = SoftPrompt.load(folder)
        refuse_vectors(prompt)
        wrong = next(_contradictions(prompt), None)
        changed = digest_of(folder) != key
        width = int(prompt.members[0].shape[1])
    except SoftPromptError as error:
        raise ArtifactError(error.message, error.hint) from error
    except Exception as error:
        # Whatever a stranger's file makes the reading stumble over, it is the file's fault.
        raise ArtifactError(
            f"The artifact's description cannot be understood ({type(error).__name__}).",
            "Copy the folder again from where it was trained.",
        ) from error
    if changed:
        raise ArtifactError("The artifact is being written at this moment.", "Try again.")
    if wrong is not None:
        raise ArtifactError(f"The artifact contradicts itself: {wrong}.", "Train it again.")
    backbone = prompt.backbone
    # Thousands of prompts have one backbone: its names are kept once.
    depth, name, weights, tokenizer = map(
        sys.intern, (prompt.depth, backbone.name, backbone.weights, backbone.tokenizer)
    )
    return prompt, Facts(key, depth, width, name, weights, tokenizer)


def details(folder: Path, key: str) -> dict[str, Any] | None:
    """What a list shows of an artifact that was examined before; its vectors are not read.

    Args:
        folder: where it lies.
        key: its digest.

    Returns:
        `kind`, `target`, `inputs`, `labels`, `placement`, `depth`, `length`, `members`,
        `parameters`, `backbone`, `metrics`, `bytes` and `created` (seconds since 1970); None where
        the artifact is not what it was any more.
    """
    try:
        value = json.loads((folder / _DESCRIPTION).read_text(encoding="utf-8"))
        if value["digest"] != key:
            return None
        names = ("placement", "depth", "length", "parameters", "metrics")
        return {
            **{name: value[name] for name in names},
            "members": value.get("members", 1),
            "kind": value["task"]["kind"],
            "target": value["task"]["target"],
            "inputs": value["task"]["inputs"],
            "labels": [choice["label"] for choice in value["task"]["choices"]],
            "backbone": value["backbone"]["name"],
            "bytes": artifact_bytes(folder),
            "created": (folder / _DESCRIPTION).stat().st_mtime,
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def digest_of(folder: Path) -> str:
    """The digest that an artifact's description carries.

    Raises:
        ArtifactError: there is none.
    """
    try:
        value = json.loads((folder / _DESCRIPTION).read_text(encoding="utf-8"))
        return str(value["digest"])
    except FileNotFoundError as error:
        if is_peft(folder):
            raise ArtifactError(
                "This is a prompt in PEFT's format.",
                "Add it with `softprompt prompts add`, which writes it in the project's own.",
            ) from error
        raise ArtifactError(f"There is no {_DESCRIPTION}.", "Copy the folder again.") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactError(
            f"{_DESCRIPTION} is damaged: it carries no digest.", "Copy the folder again."
        ) from error


def _check_files(folder: Path) -> None:
    """Refuses links, which may lead anywhere, and pipes and devices, which may never end."""
    for name in FILES:
        try:
            mode = (folder / name).lstat().st_mode
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(mode):
            what = "a link" if stat.S_ISLNK(mode) else "no plain file"
            raise ArtifactError(f"{name} is {what}.", "Copy the file itself into the folder.")


def _wrong_choices(task: Any) -> Iterator[str]:
    """What does not fit together of a task's choices and how they are weighed."""
    labels, wordings = task.labels, task.wordings
    if not all(isinstance(text, str) and text for text in (*labels, *wordings)):
        yield "a choice has no label or no wording"
    if len(set(labels)) < len(labels) or (task.kind == "classification" and len(labels) < 2):
        yield "its choices are fewer than two, or one is there twice"
    if not _is_number(task.temperature) or not 0 < task.temperature < math.inf:
        yield f"its temperature is {task.temperature!r}"
    for added in (task.adjustment, task.adjustment_alone):
        adjusted = all(_is_number(x) and abs(x) < _MOST_ADJUSTMENT for x in added)
        if len(added) not in (0, len(labels)) or not adjusted:
            yield f"its adjustment of {len(labels)} labels is {list(added)!r}"


def _contradictions(prompt: SoftPrompt) -> Iterator[str]:
    """What does not fit together, though each part was written as it was meant."""
    yield from _wrong_readout(prompt)
    yield from _wrong_tensors(prompt)
    # What is declared of a field says nothing of what a file holds.
    task: Any = prompt.task
    if task.kind not in ("classification", "generation"):
        yield f"its kind of task is {task.kind!r}"
    if task.scoring not in get_args(Scoring):
        yield f"its way of scoring is {task.scoring!r}"
    yield from _wrong_choices(task)
    if not isinstance(task.max_new_tokens, int) or not 1 <= task.max_new_tokens <= _MOST_TOKENS:
        yield f"its longest answer is {task.max_new_tokens!r} tokens"
    if not isinstance(task.target, str) or not isinstance(task.chat, bool):
        yield "its target or the use of a chat template is of another type"
    if task.template is not None and Template(task.template).columns != task.inputs:
        yield "its template names other columns than its inputs"
    backbone: Any = prompt.backbone
    if not all(isinstance(x, str) for x in (backbone.name, backbone.weights, backbone.tokenizer)):
        yield "its backbone has no name or no fingerprint"
    elif max(len(backbone.weights), len(backbone.tokenizer)) > _DIGITS:
        yield "the fingerprint of its backbone is no SHA-256"
    if prompt.dtype not in ("fp32", "bf16", "fp16"):
        yield f"its precision is {prompt.dtype!r}"
    metrics: Any = prompt.metrics
    if not isinstance(metrics, Mapping):
        yield "its metrics are no mapping"


def _wrong_tensors(prompt: SoftPrompt) -> Iterator[str]:
    DEPTHS.get(prompt.depth)
    PLACEMENTS.get(prompt.placement)
    members = prompt.members
    if any(x.dim() != 2 or not x.dtype.is_floating_point or 0 in x.shape for x in members):
        yield "its vectors are empty or have another shape"
    elif len({int(x.shape[1]) for x in members}) > 1:
        yield "its members have vectors of several sizes"
    elif prompt.length > _MOST_VECTORS:
        yield f"it has {prompt.length} vectors"
    if prompt.placement == "slots":
        template = prompt.task.template
        slots = Template(template).slots if template is not None else ()
        if sum(slot.length for slot in slots) != prompt.length:
            yield "the slots of its template hold another number of vectors"


def _wrong_readout(prompt: SoftPrompt) -> Iterator[str]:
    """What does not fit together of a readout; its names are there together or not at all."""
    names = {name for name in prompt.tensors if name.startswith("readout.")}
    if names and names != {"readout.weight", "readout.bias"}:
        yield f"of a readout it has {sorted(names)} alone"
        return
    readout = prompt.readout
    if readout is None:
        return
    shapes, choices = (readout.weight_CF.dim(), readout.bias_C.dim()), len(prompt.task.choices)
    if shapes != (2, 1) or {len(readout.weight_CF), len(readout.bias_C)} != {choices}:
        yield f"its readout has not one row for each of {choices} choices"
    elif readout.weight_CF.shape[1] > _MOST_READ:
        yield f"its readout reads {readout.weight_CF.shape[1]} numbers"
    if prompt.placement != "suffix":
        yield f"its readout stands beside a prompt of placement {prompt.placement!r}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
