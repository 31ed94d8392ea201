"""LoRA's folders as backbones: what PEFT computes, and what is no plain LoRA is refused."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny import save_tiny

from softprompt.backbones import Backbone, load_backbone
from softprompt.backbones.load import NANO
from softprompt.backbones.precision import DTYPES
from softprompt.errors import BackboneError

peft = pytest.importorskip("peft")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and, in `lora`, matrices for it that PEFT wrote."""
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("lora")
    model = AutoModelForCausalLM.from_pretrained(save_tiny(folder / "model"))
    settings = peft.LoraConfig(
        task_type="CAUSAL_LM", r=4, target_modules="all-linear", init_lora_weights=False
    )
    torch.manual_seed(3)
    peft.get_peft_model(model, settings).save_pretrained(folder / "lora")
    return folder


@pytest.fixture
def lora(made: Path, tmp_path: Path) -> Path:
    """A copy of the matrices, to be spoiled."""
    shutil.copytree(made / "lora", tmp_path / "lora")
    return tmp_path / "lora"


def change(folder: Path, **settings: Any) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))


def logits(backbone: Backbone, row: list[int], new: int) -> torch.Tensor:
    """Those after the last tokens of a row, continued from a context."""
    context = backbone.encode_context([row[:-new]])
    position_BN = torch.arange(len(row) - new, len(row))[None]
    embeds_BND = backbone.embed(torch.tensor([row[-new:]]))
    branch_BN = torch.zeros_like(position_BN)
    return backbone.logits(backbone.continue_from(context, embeds_BND, position_BN, branch_BN))


@torch.no_grad()
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": "all-linear"},
        {"target_modules": ["q_proj", "v_proj"], "use_rslora": True, "lora_alpha": 3},
        {"target_modules": ["k_proj"], "use_dora": True, "rank_pattern": {"layers.0.*": 2}},
        {"target_modules": "all-linear", "lora_dropout": 0.5, "bias": "lora_only"},
    ],
)
def test_it_computes_what_peft_computes(
    made: Path, tmp_path: Path, settings: dict[str, Any], dtype: str
) -> None:
    from transformers import AutoModelForCausalLM

    def base() -> Any:
        return AutoModelForCausalLM.from_pretrained(made / "model", dtype=DTYPES[dtype])

    row = [1, 30, 31, 32, 33]
    untouched = base()(input_ids=torch.tensor([row])).logits[0, -2:]
    lora = peft.LoraConfig(task_type="CAUSAL_LM", r=4, init_lora_weights=False, **settings)
    torch.manual_seed(3)
    peft.get_peft_model(base(), lora).save_pretrained(tmp_path / "lora")
    theirs = peft.PeftModel.from_pretrained(base(), tmp_path / "lora").eval()
    wanted = theirs(input_ids=torch.tensor([row])).logits[0, -2:]
    assert not torch.allclose(wanted, untouched, atol=1e-2)
    backbone = load_backbone(str(tmp_path / "lora"), dtype=dtype)
    near = {"rtol": 1e-4, "atol": 1e-4} if dtype == "fp32" else {"rtol": 0.02, "atol": 0.02}
    torch.testing.assert_close(logits(backbone, row, 2).to(wanted.dtype), wanted, **near)
    assert not any(p.requires_grad for p in backbone.model.parameters())


@torch.no_grad()
@pytest.mark.parametrize(
    ("architecture", "auto", "task"),
    [("t5", "AutoModelForSeq2SeqLM", "SEQ_2_SEQ_LM"), ("bert", "AutoModel", "FEATURE_EXTRACTION")],
)
def test_other_backbones_take_matrices(
    tmp_path: Path, architecture: str, auto: str, task: str
) -> None:
    model = getattr(transformers, auto).from_pretrained(save_tiny(tmp_path / "m", architecture))
    settings = peft.LoraConfig(
        task_type=task, r=4, target_modules="all-linear", init_lora_weights=False
    )
    torch.manual_seed(3)
    theirs = peft.get_peft_model(model, settings).eval()
    theirs.save_pretrained(tmp_path / "lora")
    backbone = load_backbone(str(tmp_path / "lora"), dtype="fp32")
    assert backbone.form == load_backbone(str(tmp_path / "m")).form
    ids = torch.tensor([[1, 30, 31, 32]])
    given = {"input_ids": ids, **({"decoder_input_ids": ids} if architecture == "t5" else {})}
    torch.testing.assert_close(backbone.model(**given)[0], model(**given)[0])


def test_matrices_are_part_of_what_a_backbone_is(made: Path, lora: Path) -> None:
    plain, first = load_backbone(str(made / "model")), load_backbone(str(lora))
    assert first.identity.name == first.settings["model"] == str(lora)
    assert first.identity.tokenizer == plain.identity.tokenizer
    tensors = load_file(lora / "adapter_model.safetensors")
    for value in tensors.values():
        value.add_(1)
    save_file(tensors, lora / "adapter_model.safetensors")
    changed = load_backbone(str(lora)).identity.weights
    change(lora, lora_alpha=4)
    scaled = load_backbone(str(lora)).identity.weights
    assert len({plain.identity.weights, first.identity.weights, changed, scaled}) == 4


def test_loading_draws_nothing_from_the_generator(made: Path) -> None:
    torch.manual_seed(5)
    load_backbone(str(made / "model"))
    wanted = torch.rand(3)
    torch.manual_seed(5)
    load_backbone(str(made / "lora"))
    assert torch.equal(torch.rand(3), wanted)


def test_the_models_own_place_is_another_one_elsewhere(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    settings = peft.LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"])
    model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(NANO), settings)
    model.save_pretrained(tmp_path / "lora")
    change(tmp_path / "lora", base_model_name_or_path="/elsewhere/lib/softprompt/backbones/nano")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert load_backbone(str(tmp_path / "lora")).hidden_size == load_backbone().hidden_size


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"peft_type": "PROMPT_TUNING"}, "of type PROMPT_TUNING"),
        ({"alora_invocation_tokens": [5, 6]}, "alora_invocation_tokens"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights"),
        ({"base_model_name_or_path": None}, "does not say which model"),
        ({"base_model_name_or_path": "/no/such/model"}, "no model folder /no/such/model"),
        ({"r": 8}, r"does not fit .*lora_A.*: \[4, 64\], \[8, 64\]"),
        ({"r": 0}, "does not fit"),
        ({"target_modules": "("}, "does not fit"),
        ({"rank_pattern": [1]}, "does not fit"),
        ({"bias": "some"}, "does not fit"),
        ({"kasa_config": {}, "some_new_setting": True}, "alone: some_new_setting"),
        ({"target_modules": ["q_proj"]}, r"does not fit .*lora_A.*, None\)"),
    ],
)
def test_what_is_no_plain_lora_is_refused(
    lora: Path, settings: dict[str, Any], message: str
) -> None:
    change(lora, **settings)
    with pytest.raises(BackboneError, match=message) as error:
        load_backbone(str(lora))
    assert error.value.hint


def test_lora_that_is_active_on_some_tokens_is_refused(lora: Path) -> None:
    (lora / "softprompt.json").write_text(json.dumps({"active_tokens": 16}))
    with pytest.raises(BackboneError, match="active_tokens"):
        load_backbone(str(lora))


def test_a_folder_of_a_model_and_an_adapter_is_neither(made: Path, tmp_path: Path) -> None:
    for part in ("model", "lora"):
        shutil.copytree(made / part, tmp_path / "both", dirs_exist_ok=True)
    with pytest.raises(BackboneError, match="holds a model and an adapter"):
        load_backbone(str(tmp_path / "both"))


def test_an_adapter_that_is_put_in_unasked_is_refused(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in ("model", "lora"):
        shutil.copytree(made / part, tmp_path / "both", dirs_exist_ok=True)
    # As with a model of the hub, whose files are not looked at before they are loaded.
    monkeypatch.setattr("softprompt.backbones.load.is_lora", lambda name: False)
    with pytest.raises(BackboneError, match="holds an adapter as well"):
        load_backbone(str(tmp_path / "both"))


def test_a_copy_of_the_configuration_makes_no_model(made: Path, lora: Path) -> None:
    wanted = load_backbone(str(lora)).identity.weights
    shutil.copy(made / "model" / "config.json", lora)
    assert load_backbone(str(lora)).identity.weights == wanted


def test_the_tokenizer_is_the_one_that_was_trained_with(made: Path, lora: Path) -> None:
    plain = load_backbone(str(lora))
    for file in (made / "model").glob("*token*"):
        shutil.copy(file, lora)
    (lora / "chat_template.jinja").write_text("{{ messages[0].content }}!")
    changed = load_backbone(str(lora))
    assert changed.identity.tokenizer != plain.identity.tokenizer
    assert changed.encode("great coffee") == plain.encode("great coffee")


def test_no_folder_takes_the_place_of_the_models_own(
    made: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = load_backbone().identity
    shutil.copytree(made / "lora", tmp_path / "nano")
    monkeypatch.chdir(tmp_path)
    assert load_backbone().identity == own
    shutil.copy(made / "lora" / "adapter_config.json", tmp_path)
    with pytest.raises(BackboneError, match="No model is named"):
        load_backbone("")


def test_what_is_wrong_with_the_model_is_told_as_it_is(lora: Path) -> None:
    with pytest.raises(BackboneError, match="Device 'nowhere'") as error:
        load_backbone(str(lora), device="nowhere")
    assert error.value.hint == "Use `auto` or `cpu`."


def test_lora_over_lora_is_refused(made: Path, lora: Path) -> None:
    change(lora, base_model_name_or_path=str(made / "lora"))
    with pytest.raises(BackboneError, match="for another LoRA"):
        load_backbone(str(lora))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("adapter_config.json", b""),
        ("adapter_config.json", b"[]"),
        ("adapter_model.safetensors", None),
        ("adapter_model.safetensors", b""),
        ("adapter_model.safetensors", b"[]"),
    ],
)
def test_a_damaged_folder_is_refused(lora: Path, file: str, content: bytes | None) -> None:
    (lora / file).unlink()
    if content is not None:
        (lora / file).write_bytes(content)
    with pytest.raises(BackboneError, match=r"cannot be read|does not fit|has no adapter_model"):
        load_backbone(str(lora))
