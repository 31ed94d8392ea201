"""Loading a frozen model by name: `nano`, a folder, or an id of the Hugging Face Hub.

Only safetensors weights are read and no code from a model's folder is run. Precision and device are
chosen by what the hardware does well and written into `Backbone.settings`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field

from softprompt.backbones.backbone import Backbone, Identity
from softprompt.backbones.fingerprint import (
    files_fingerprint,
    module_fingerprint,
    tokenizer_fingerprint,
)
from softprompt.backbones.kinds import Kind, kind_of
from softprompt.backbones.lora import base_of, identity_with, is_lora, put_in
from softprompt.backbones.precision import DTYPES, fastest_dtype
from softprompt.errors import BackboneError, is_out_of_memory
from softprompt.locale import _, mark

__all__ = ["BackboneConfig", "load_backbone", "progress_bars"]

NANO = Path(__file__).parent / "nano"


class BackboneConfig(BaseModel):
    """Which frozen model, and how it is loaded."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model: str = Field(
        "nano", description=mark("`nano`, a folder (of LoRA too), or a Hugging Face Hub id.")
    )
    revision: str | None = Field(None, description=mark("Branch, tag or commit of a hub model."))
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description=mark("Precision; `auto` measures which is fastest here.")
    )
    device: str = Field("auto", description=mark("`auto`, `cpu`, `cuda`, `cuda:1`, `mps`, ..."))
    device_map: str | None = Field(
        None, description=mark("`auto` spreads a large model over devices (needs accelerate).")
    )
    quantization: Literal["none", "8bit", "4bit"] = Field(
        "none", description=mark("Weights in 8 or 4 bits through bitsandbytes.")
    )


def load_backbone(model: str = "nano", **settings: Any) -> Backbone:
    """Loads and freezes a model: a decoder, an encoder-decoder or an encoder.

    Args:
        model: `nano`, a folder with safetensors weights, a folder of LoRA as PEFT writes it, which
            names the model that it is for, or a hub id.
        settings: the other fields of `BackboneConfig`.

    Raises:
        BackboneError: it cannot be found, read or used.
    """
    config = asked = BackboneConfig(model=model, **settings)
    lora = Path(config.model).absolute() if is_lora(config.model) else None
    if lora is not None:
        name, revision = base_of(lora)
        config = config.model_copy(update={"model": name, "revision": revision})
        asked = asked.model_copy(update={"model": str(lora), "revision": None})
    source = str(NANO) if config.model == "nano" else config.model
    device = _device(config.device)
    options: dict[str, Any] = {"trust_remote_code": False}
    if config.revision and not Path(source).is_dir():
        options["revision"] = config.revision
    model_config, tokenizer = _load_small_parts(source, config, options, lora)
    dtype: str = config.dtype
    if dtype == "auto":
        dtype = fastest_dtype(model_config.get_text_config().hidden_size, device)
    kind = kind_of(model_config)
    weights = _load_weights(source, config, kind, options, DTYPES[dtype])
    if config.device_map is None and config.quantization == "none":
        weights = weights.to(device)
    kind.backbone.check_tokenizer(tokenizer, config.model)
    revision = getattr(model_config, "_commit_hash", None) or config.revision
    if nano_version := getattr(model_config, "nano_version", None):
        revision = f"nano {nano_version}"
    fingerprint = _weights_fingerprint(source, weights)
    identity = Identity(config.model, revision, fingerprint, tokenizer_fingerprint(tokenizer))
    if lora is not None:
        put_in(weights, lora)
        identity = identity_with(identity, lora)
    resolved = asked.model_copy(update={"dtype": dtype, "device": str(device)})
    return kind.backbone(weights, tokenizer, identity, dtype, resolved.model_dump())


def _device(name: str) -> torch.device:
    if name != "auto":
        try:
            device = torch.device(name)
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            raise BackboneError(
                _("Device {name!r} cannot be used here.").format(name=name),
                _("Use `auto` or `cpu`."),
            ) from error
        return device
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _load_small_parts(
    source: str, config: BackboneConfig, options: dict[str, Any], lora: Path | None
) -> tuple[Any, Any]:
    from transformers import AutoConfig, AutoTokenizer

    folder = Path(source)
    if not source:
        raise BackboneError(
            _("No model is named, here or where the prompt comes from."),
            _("Name one with --model."),
        )
    if not folder.is_dir() and (folder.is_absolute() or source.startswith((".", "~"))):
        raise BackboneError(
            _("There is no model folder {folder}.").format(folder=source),
            _("Check the path, or name a hub id or `nano`."),
        )
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise BackboneError(
            _("The folder {folder} holds no model: config.json is missing.").format(folder=source),
            _("Name a folder made by save_pretrained, a hub id, or `nano`."),
        )
    try:
        model_config = AutoConfig.from_pretrained(source, **options)
        if lora is not None and (lora / "tokenizer_config.json").is_file():
            # What was learned was learned with it.
            tokenizer = AutoTokenizer.from_pretrained(lora, trust_remote_code=False)
        else:
            tokenizer = AutoTokenizer.from_pretrained(source, **options)
    except Exception as error:
        raise _cannot_load(config.model, error) from error
    return model_config, tokenizer


def _load_weights(
    source: str, config: BackboneConfig, kind: Kind, options: dict[str, Any], dtype: torch.dtype
) -> Any:
    import transformers
    from transformers import BitsAndBytesConfig

    if config.device_map is not None:
        options = {**options, "device_map": config.device_map}
    if config.quantization != "none":
        eight = config.quantization == "8bit"
        quantization: Any = BitsAndBytesConfig
        options = {
            **options,
            "quantization_config": quantization(
                load_in_8bit=eight, load_in_4bit=not eight, bnb_4bit_compute_dtype=dtype
            ),
        }
    try:
        with progress_bars(config.model != "nano"):
            model, about = getattr(transformers, kind.auto).from_pretrained(
                source, dtype=dtype, use_safetensors=True, output_loading_info=True, **options
            )
    except Exception as error:
        raise _cannot_load(config.model, error) from error
    if getattr(model, "peft_config", None):
        # Transformers puts an adapter in that lies beside a model, and says nothing of it.
        raise BackboneError(
            _("The model {name!r} holds an adapter as well.").format(name=config.model),
            _("Put each into a folder of its own, and name the one that is meant."),
        )
    missing = sorted(name for name in about["missing_keys"] if not name.startswith(kind.unused))
    if missing:
        raise BackboneError(
            _(
                "The weights of {name!r} are not those of a {kind}: {first!r} and {n} more are"
                " missing."
            ).format(
                name=config.model,
                kind=type(model).__name__,
                first=missing[0],
                n=len(missing) - 1,
            ),
            _("Check that config.json and the weights belong together."),
        )
    return model


@contextmanager
def progress_bars(wanted: bool) -> Iterator[None]:
    """Transformers' own progress bars: only on a terminal, and only where loading takes a while."""
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging
    enabled = logging.is_progress_bar_enabled()
    if not (wanted and sys.stderr.isatty()):
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            logging.enable_progress_bar()


def _cannot_load(name: str, error: Exception) -> BackboneError:
    first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if isinstance(error, ImportError):
        return BackboneError(
            _("Loading {name!r} needs a library that is not installed ({reason}).").format(
                name=name, reason=first.strip()
            ),
            _("Run: pip install 'softprompt[quantization]'"),
        )
    if is_out_of_memory(error):
        return BackboneError(
            _("The model {name!r} does not fit into memory ({reason}).").format(
                name=name, reason=first.strip()
            ),
            _("Choose a smaller model, or another precision with --dtype."),
        )
    return BackboneError(
        _("The model {name!r} cannot be loaded: {reason}").format(name=name, reason=first.strip()),
        _(
            "Check the name, the network and that it has safetensors weights; `nano` always works"
            " offline."
        ),
    )


def _weights_fingerprint(source: str, weights: Any) -> str:
    """Of the files where they can be found, so that precision does not change it."""
    folder = Path(source)
    if not folder.is_dir():
        located = getattr(weights.config, "_commit_hash", None)
        folder = _hub_folder(source, located) if located else folder
    files = sorted(folder.glob("model*.safetensors")) if folder.is_dir() else []
    return files_fingerprint(files) if files else module_fingerprint(weights)


def _hub_folder(name: str, commit: str) -> Path:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "config.json", revision=commit)
    return Path(found).parent if isinstance(found, str) else Path(name)
