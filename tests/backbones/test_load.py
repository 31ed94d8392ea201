"""Loading by name: what works, what is refused, and that precision does not change the identity."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from tiny import VOCABULARY, save_tiny, tiny_backbone, tiny_model, tiny_tokenizer

from softprompt.backbones import Backbone, load_backbone
from softprompt.backbones.load import NANO
from softprompt.backbones.precision import fastest_dtype
from softprompt.backbones.probe import _compare
from softprompt.errors import BackboneError


def test_a_saved_model_has_the_fingerprint_of_the_one_in_memory(tmp_path: Path) -> None:
    backbone = load_backbone(str(save_tiny(tmp_path)), dtype="fp32")
    assert backbone.identity.weights == tiny_backbone().identity.weights
    assert backbone.identity.tokenizer == tiny_backbone().identity.tokenizer


def test_precision_does_not_change_the_fingerprint(tmp_path: Path) -> None:
    folder = str(save_tiny(tmp_path))
    half = load_backbone(folder, dtype="bf16")
    assert half.compute_dtype is torch.bfloat16
    assert half.identity == load_backbone(folder, dtype="fp32").identity


def test_sharding_does_not_change_the_fingerprint(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    whole = load_backbone(str(save_tiny(tmp_path / "whole")), dtype="fp32")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "whole")
    save_tiny(tmp_path / "shards")
    (tmp_path / "shards" / "model.safetensors").unlink()
    model.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    assert len(list((tmp_path / "shards").glob("model*.safetensors"))) > 1
    shards = load_backbone(str(tmp_path / "shards"), dtype="fp32")
    assert shards.identity.weights == whole.identity.weights


def test_the_precision_is_measured_and_written_down(tmp_path: Path) -> None:
    assert fastest_dtype(64, torch.device("cpu")) in {"fp32", "bf16"}
    backbone = load_backbone(str(save_tiny(tmp_path)))
    assert backbone.settings["dtype"] == backbone.dtype in {"fp32", "bf16"}
    assert backbone.settings["device"]


def remove_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def pickle_weights(folder: Path) -> None:
    remove_weights(folder)
    torch.save({}, folder / "pytorch_model.bin")


def remove_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def cut_weights(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])


def other_weights(folder: Path) -> None:
    (folder / "config.json").write_text(
        json.dumps({"model_type": "t5", "vocab_size": 320, "d_model": 32, "num_layers": 1})
    )


def remote_code(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text("raise SystemExit('code was run')")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_weights, "cannot be loaded"),
        (pickle_weights, "cannot be loaded"),
        (remove_config, "config.json is missing"),
        (cut_weights, "cannot be loaded"),
        (other_weights, "are not those of a T5ForConditionalGeneration.*more are missing"),
        (remote_code, "cannot be loaded"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, damage: object, message: str) -> None:
    save_tiny(tmp_path)
    damage(tmp_path)  # type: ignore[operator]
    with pytest.raises(BackboneError, match=message) as raised:
        load_backbone(str(tmp_path))
    assert "\n" not in str(raised.value)


def test_weights_that_memory_does_not_hold_are_no_matter_of_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise RuntimeError("unable to mmap 9 bytes from file <a>: Cannot allocate memory (12)")

    save_tiny(tmp_path)
    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", full)
    with pytest.raises(BackboneError, match=r"does not fit into memory.*smaller model"):
        load_backbone(str(tmp_path))


def test_an_unknown_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(BackboneError, match=r"'no-such/model' cannot be loaded.*`nano` always"):
        load_backbone("no-such/model")


def test_an_absent_folder_is_said() -> None:
    with pytest.raises(BackboneError, match="There is no model folder /no/such/model"):
        load_backbone("/no/such/model")


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(BackboneError, match="Device 'qpu' cannot be used here"):
        load_backbone("nano", device="qpu")


def test_nano_is_a_language_model_of_both_languages() -> None:
    backbone = load_backbone("nano", dtype="fp32")
    assert backbone.window >= 1024
    assert sum(file.stat().st_size for file in NANO.iterdir()) < 25_000_000
    assert 8000 <= backbone.vocabulary <= 12_288
    assert backbone.identity.revision is not None
    for text, shuffled in (
        ("the food was good and the people were kind", "kind the were people food and good was"),
        ("thành phố này nằm ở miền bắc Việt Nam", "bắc ở này Nam miền nằm phố Việt thành"),
    ):
        assert _log_likelihood(backbone, text) > _log_likelihood(backbone, shuffled) + 5


def _log_likelihood(backbone: object, text: str) -> float:
    ids = backbone.tokenizer(text, return_tensors="pt").input_ids  # type: ignore[attr-defined]
    with torch.no_grad():
        log = backbone.model(ids).logits[0, :-1].log_softmax(-1)  # type: ignore[attr-defined]
    return float(log.gather(1, ids[0, 1:, None]).sum())


def test_a_real_third_party_model(shared: Path) -> None:
    backbone = load_backbone(str(shared / "models" / "stories260K"), dtype="fp32")
    ids = backbone.tokenizer("Once upon a time", return_tensors="pt").input_ids
    written = backbone.model.generate(ids, max_new_tokens=8, do_sample=False)
    assert "there was" in backbone.tokenizer.decode(written[0])


def test_embeddings_narrower_than_the_layers_are_refused() -> None:
    from transformers import OPTConfig, OPTForCausalLM

    sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "ffn_dim": 32}
    config = OPTConfig(vocab_size=VOCABULARY, hidden_size=32, word_embed_proj_dim=16, **sizes)
    with pytest.raises(BackboneError, match="have 16 numbers and its layers 32"):
        Backbone(OPTForCausalLM(config), tiny_tokenizer())


def test_a_model_without_a_name_is_one_error() -> None:
    with pytest.raises(BackboneError, match="No model is named"):
        load_backbone("")


def without_head(folder: Path) -> Path:
    """A decoder that was saved without the weights that give its logits."""
    save_tiny(folder, "llama")
    model = tiny_model("llama").base_model
    model.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    return folder


def test_a_decoder_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    # Random numbers in their place would be others at every load.
    with pytest.raises(BackboneError, match=r"'lm_head.weight' and 0 more are missing"):
        load_backbone(str(without_head(tmp_path)), dtype="fp32")


def spread(model: Any) -> Any:
    """A model whose attention is not even, so that distances count."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(8.0)
    return model


def a_decoder(name: str, config: str, **sizes: Any) -> Any:
    """A random model by its class in Transformers."""
    torch.manual_seed(0)
    settings = getattr(transformers, config)(vocab_size=VOCABULARY, **sizes)
    return spread(getattr(transformers, name)(settings))


@pytest.mark.parametrize(
    ("name", "config", "sizes"),
    [
        ("MptForCausalLM", "MptConfig", {"d_model": 32, "n_heads": 4, "n_layers": 2}),
        (
            "GPTNeoForCausalLM",
            "GPTNeoConfig",
            {
                "hidden_size": 32,
                "num_layers": 2,
                "num_heads": 4,
                "attention_types": [[["global", "local"], 1]],
                "window_size": 8,
            },
        ),
        ("MambaForCausalLM", "MambaConfig", {"hidden_size": 32, "num_hidden_layers": 2}),
    ],
)
def test_families_that_are_not_exact_are_refused(
    name: str, config: str, sizes: dict[str, Any]
) -> None:
    with pytest.raises(BackboneError, match=r"Choose a decoder with rotary") as raised:
        Backbone(a_decoder(name, config, **sizes), tiny_tokenizer())
    assert "\n" not in str(raised.value)


def test_a_window_ends_where_angles_would_change() -> None:
    factors = {"short_factor": [1.0] * 4, "long_factor": [4.0] * 4}
    rope = {"rope_type": "longrope", "rope_theta": 1e4, **factors}
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}
    model = a_decoder(
        "Phi3ForCausalLM",
        "Phi3Config",
        **sizes,
        intermediate_size=32,
        max_position_embeddings=512,
        original_max_position_embeddings=64,
        rope_parameters=rope,
        pad_token_id=0,
    )
    assert Backbone(model, tiny_tokenizer()).window == 64


def test_a_token_that_goes_to_another_expert_is_rounding_in_half_precision_alone() -> None:
    one_MV = torch.randn(8, 50, generator=torch.Generator().manual_seed(0))
    for changed, refused in ((3, [False, True]), (4, [True, True])):
        other_MV = one_MV.clone()
        other_MV[:changed] += 1
        for dtype, wrong in zip((torch.bfloat16, torch.float32), refused, strict=True):
            backbone: Any = SimpleNamespace(compute_dtype=dtype, model=None)
            with pytest.raises(BackboneError) if wrong else nullcontext():
                _compare(backbone, one_MV, other_MV, "{name} {difference}", "hint")
    other_MV[0, 0] = float("nan")
    with pytest.raises(BackboneError, match="nan"):
        _compare(backbone, one_MV, other_MV, "{name} {difference}", "hint")
