"""PEFT's folders, both ways, with equal logits where PEFT is right (no padding)."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import (
    feedback_task,
    save_tiny,
    tiny_backbone,
    tiny_encoder_decoder,
    tiny_encoder_decoder_model,
    tiny_model,
    tiny_tokenizer,
)

from prompts.test_artifact import make
from softprompt import tune
from softprompt.backbones import Backbone, load_backbone
from softprompt.backbones.encoder_decoder import EncoderDecoder
from softprompt.errors import ArtifactError, ConfigError, UsageError
from softprompt.inference.scoring import score_answers
from softprompt.prompts import SoftPrompt
from softprompt.prompts.depths import DEPTHS
from softprompt.prompts.peft import export_peft, notes_of
from softprompt.prompts.peft_config import described
from softprompt.tasks import Rendered

peft = pytest.importorskip("peft")


@pytest.fixture
def saved(tmp_path: Path) -> Backbone:
    return load_backbone(str(save_tiny(tmp_path / "model")), dtype="fp32")


def our_scores(prompt: SoftPrompt, backbone: Backbone, text: str) -> list[float]:
    layout = prompt.layout(backbone)
    rendered = Rendered((f"{text}\nĐánh giá:",), " ")
    example = layout.example(rendered, list(prompt.task.wordings))
    return score_answers(backbone, [example], prompt.members, depth=prompt.depth)[0, 0].tolist()


def prompt_of(placement: str, depth: str, backbone: Backbone) -> SoftPrompt:
    generator = torch.Generator().manual_seed(4)
    rows = torch.randn(4, DEPTHS.get(depth).width(backbone), generator=generator)
    tensors = DEPTHS.get(depth).tensors(rows, [4], backbone)
    return replace(make(placement, backbone), tensors=tensors, depth=depth)


def peft_scores(folder: Path, backbone: Backbone, text: str, *, bos: bool) -> list[float]:
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(backbone.identity.name)
    model = peft.PeftModel.from_pretrained(base.float(), folder).eval()
    return scores_of(model, backbone, text, bos=bos)


def scores_of(model: Any, backbone: Backbone, text: str, *, bos: bool) -> list[float]:
    """What PEFT's model says of two answers."""
    scores = []
    for wording in ("tích cực", "tiêu cực"):
        prompt_ids = [backbone.bos] * bos + backbone.encode(f"{text}\nĐánh giá:")
        answer = [*backbone.encode(f" {wording}"), backbone.eos]
        ids = torch.tensor([prompt_ids + answer])
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
        log = logits[-len(answer) - 1 : -1].log_softmax(-1)
        scores.append(float(log.gather(1, torch.tensor(answer)[:, None]).sum()))
    return scores


@pytest.mark.parametrize("depth", ["input", "kv"])
@pytest.mark.parametrize(("placement", "bos"), [("front", True), ("prefix", False)])
def test_exported_prompts_give_equal_logits_in_peft(
    tmp_path: Path, saved: Backbone, placement: str, bos: bool, depth: str
) -> None:
    prompt = prompt_of(placement, depth, saved)
    folder = export_peft(prompt, tmp_path / "peft", saved)
    ours = our_scores(prompt, saved, "giao hàng nhanh")
    theirs = peft_scores(folder, saved, "giao hàng nhanh", bos=bos)
    assert ours == pytest.approx(theirs, abs=1e-3)
    assert ours != pytest.approx(our_scores(make("suffix", saved), saved, "giao hàng nhanh"))


@pytest.mark.parametrize("depth", ["input", "kv"])
@pytest.mark.parametrize("placement", ["front", "prefix"])
def test_an_exported_folder_comes_back_the_same(
    tmp_path: Path, saved: Backbone, placement: str, depth: str
) -> None:
    prompt = prompt_of(placement, depth, saved)
    loaded = SoftPrompt.load(export_peft(prompt, tmp_path / "peft", saved))
    assert torch.equal(loaded.vectors, prompt.vectors)
    assert (loaded.placement, loaded.depth, loaded.task) == (placement, depth, prompt.task)


@pytest.mark.parametrize(("placement", "bos"), [("front", True), ("prefix", False)])
def test_the_members_of_an_ensemble_go_into_folders_of_their_own(
    tmp_path: Path, saved: Backbone, placement: str, bos: bool
) -> None:
    first = make(placement, saved)
    tensors = {"member.0.vectors": first.vectors, "member.1.vectors": first.vectors * 2}
    ensemble = replace(first, tensors=tensors)
    folder = export_peft(ensemble, tmp_path / "peft", saved)
    assert sorted(path.name for path in folder.iterdir()) == ["member-0", "member-1"]
    for number, vectors in enumerate(ensemble.members):
        alone = replace(first, tensors={"vectors": vectors})
        ours = our_scores(alone, saved, "giao hàng nhanh")
        theirs = peft_scores(folder / f"member-{number}", saved, "giao hàng nhanh", bos=bos)
        assert ours == pytest.approx(theirs, abs=1e-3)
    loaded = SoftPrompt.load(folder)
    assert len(loaded.members) == 2
    assert all(map(torch.equal, loaded.members, ensemble.members))
    assert (loaded.placement, loaded.task) == (placement, ensemble.task)
    assert any("2 folders, member-0 to member-1" in note for note in notes_of(ensemble, saved))
    # A member of another prompt, one too few, and none to begin with.
    other = replace(ensemble, task=replace(ensemble.task, inputs=("other",)))
    mixed = export_peft(other, tmp_path / "mixed", saved)
    shutil.rmtree(mixed / "member-1")
    shutil.copytree(folder / "member-1", mixed / "member-1")
    shutil.rmtree(folder / "member-1")
    for broken in (mixed, folder):
        with pytest.raises(ArtifactError, match="no whole ensemble"):
            SoftPrompt.load(broken)
    shutil.rmtree(mixed / "member-0")
    with pytest.raises(ArtifactError):
        SoftPrompt.load(mixed)


def test_a_folder_is_replaced_by_its_own_kind_alone(tmp_path: Path, saved: Backbone) -> None:
    first = make("front", saved)
    tensors = {"member.0.vectors": first.vectors, "member.1.vectors": first.vectors * 2}
    for prompt, place in ((first, "one"), (replace(first, tensors=tensors), "several")):
        for _ in range(2):
            export_peft(prompt, tmp_path / place, saved)
    lora = tmp_path / "lora"
    lora.mkdir()
    (lora / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    with pytest.raises(UsageError, match="in use by something else"):
        export_peft(first, lora, saved)


def theirs_saved(config: Any, backbone: Backbone, folder: Path) -> tuple[Any, torch.Tensor]:
    """Has PEFT write a folder; its model, and the numbers of its virtual tokens."""
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(backbone.identity.name)
    torch.manual_seed(6)
    model = peft.get_peft_model(base.float(), config)
    model.save_pretrained(folder)
    found: torch.Tensor = model.get_prompt_embedding_to_save(adapter_name="default").detach()
    return model, found.cpu()


CONFIGS = {
    "prompt tuning": lambda: peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4),
    "p-tuning": lambda: peft.PromptEncoderConfig(
        task_type="CAUSAL_LM", num_virtual_tokens=4, encoder_hidden_size=16
    ),
    "prefix tuning": lambda: peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4),
    "p-tuning with an LSTM": lambda: peft.PromptEncoderConfig(
        task_type="CAUSAL_LM",
        num_virtual_tokens=4,
        encoder_hidden_size=16,
        encoder_reparameterization_type="LSTM",
    ),
    "prefix tuning with a network": lambda: peft.PrefixTuningConfig(
        task_type="CAUSAL_LM",
        num_virtual_tokens=4,
        prefix_projection=True,
        encoder_hidden_size=16,
    ),
    "prompt tuning from the vocabulary": lambda: peft.PromptTuningConfig(
        task_type="CAUSAL_LM", num_virtual_tokens=4, prompt_tuning_init="SAMPLE_VOCAB"
    ),
}


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_a_folder_that_peft_wrote_scores_as_in_peft(
    tmp_path: Path, saved: Backbone, kind: str
) -> None:
    # PEFT reads a folder of a network back with an untrained one, so its model in memory counts.
    model, theirs = theirs_saved(CONFIGS[kind](), saved, tmp_path / "theirs")
    loaded = SoftPrompt.load(tmp_path / "theirs")
    assert loaded.placement == "front"
    assert torch.equal(loaded.vectors, theirs)
    loaded.check_backbone(saved)
    prompt = replace(make("front", saved), tensors=loaded.tensors, depth=loaded.depth)
    ours = our_scores(prompt, saved, "giao hàng nhanh")
    assert ours == pytest.approx(
        scores_of(model.eval(), saved, "giao hàng nhanh", bos=True), abs=1e-3
    )


def test_a_configuration_of_peft_describes_the_axes() -> None:
    texts = peft.PromptTuningConfig(
        task_type="CAUSAL_LM",
        num_virtual_tokens=5,
        prompt_tuning_init="TEXT",
        prompt_tuning_init_text="good or bad",
        tokenizer_name_or_path="x",
    )
    found = described(texts, "continued")
    assert (found.placement, found.length, found.depth) == ("front", 5, "input")
    assert (found.initialisation, found.text) == ("text", "good or bad")
    axes = {kind: described(make_config(), "continued") for kind, make_config in CONFIGS.items()}
    assert axes["prompt tuning"].initialisation == "random"
    assert axes["p-tuning"].parametrisation == "encoder"
    assert axes["p-tuning with an LSTM"].parametrisation == "encoder_lstm"
    assert axes["prompt tuning from the vocabulary"].initialisation == "vocabulary"
    network = axes["prefix tuning with a network"]
    assert (network.depth, network.parametrisation) == ("kv", "encoder")
    assert (axes["prefix tuning"].depth, axes["prefix tuning"].parametrisation) == ("kv", "direct")
    # PEFT trains a head for it; only encoder classifiers have one here.
    classes = peft.PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=4)
    assert described(classes, "pooled").length == 4
    for task_type in ("SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS", "FEATURE_EXTRACTION"):
        another = peft.PromptTuningConfig(task_type=task_type, num_virtual_tokens=4)
        with pytest.raises(ConfigError, match=f"task type '{task_type}'"):
            described(another, "continued")
    with pytest.raises(ConfigError, match="of type 'LORA' describes no soft prompt"):
        described(peft.LoraConfig(), "continued")
    with pytest.raises(ConfigError, match="does not begin from 'zero' weights"):
        described(peft.PrefixTuningConfig(num_virtual_tokens=4, init_weights="zero"), "continued")
    with pytest.raises(ConfigError, match="does not say num_virtual_tokens"):
        described(peft.PromptTuningConfig(), "continued")
    unknown = peft.PromptEncoderConfig(num_virtual_tokens=4, encoder_reparameterization_type="GRU")
    with pytest.raises(ConfigError, match=r"cannot be 'GRU'.*MLP"):
        described(unknown, "continued")


def test_a_configuration_of_peft_trains(tmp_path: Path) -> None:
    config = CONFIGS["prefix tuning"]()
    settings: dict[str, Any] = {"epochs": 1, "population": 1, "baselines": ()}
    result = tune(
        feedback_task(tmp_path), tiny_backbone(), tmp_path / "run", prompt=config, **settings
    )
    prompt = SoftPrompt.load(result["prompt"])
    assert (prompt.placement, prompt.depth, prompt.length) == ("front", "kv", 4)


def test_a_configuration_of_peft_and_a_method_are_two_things(tmp_path: Path) -> None:
    config = CONFIGS["prefix tuning"]()
    with pytest.raises(UsageError, match="names its method itself"):
        tune(
            feedback_task(tmp_path), tiny_backbone(), tmp_path / "run", prompt=config,
            method="p-tuning",
        )  # fmt: skip


def test_a_prefix_of_other_sizes_is_refused(tmp_path: Path, saved: Backbone) -> None:
    theirs_saved(CONFIGS["prefix tuning"](), saved, tmp_path / "theirs")
    file = tmp_path / "theirs" / "adapter_config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, "num_layers": 3}))
    with pytest.raises(ArtifactError, match="3 layers of keys and values"):
        SoftPrompt.load(tmp_path / "theirs")


@pytest.mark.parametrize("placement", ["suffix", "slots"])
def test_what_peft_cannot_hold_is_refused(tmp_path: Path, saved: Backbone, placement: str) -> None:
    with pytest.raises(UsageError, match="its virtual tokens always stand before the whole input"):
        export_peft(make(placement, saved), tmp_path / "peft", saved)
    with pytest.raises(UsageError, match="--depth input or kv"):
        export_peft(prompt_of("front", "deep", saved), tmp_path / "peft", saved)
    assert not (tmp_path / "peft").exists()


@pytest.mark.parametrize("damage", ["nan", "flat", "note"])
def test_a_damaged_folder_is_one_error(tmp_path: Path, saved: Backbone, damage: str) -> None:
    folder = export_peft(make("front", saved), tmp_path / "peft", saved)
    file = folder / "adapter_model.safetensors"
    ((name, vectors_PD),) = load_file(file).items()
    if damage == "nan":
        vectors_PD[0, 0] = float("nan")
    save_file({name: vectors_PD[0] if damage == "flat" else vectors_PD}, file)
    if damage == "note":
        (folder / "softprompt.json").write_text(json.dumps({"bos_included": False}))
    with pytest.raises(ArtifactError, match=r"finite numbers|lacks or garbles"):
        SoftPrompt.load(folder)


@pytest.mark.parametrize(
    "garbled", [{"num_attention_heads": 3}, {"num_layers": "two"}, {"token_dim": None}]
)
def test_a_prefix_of_odd_sizes_is_one_error(
    tmp_path: Path, saved: Backbone, garbled: dict[str, Any]
) -> None:
    folder = export_peft(prompt_of("front", "kv", saved), tmp_path / "peft", saved)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, **garbled}))
    with pytest.raises(ArtifactError, match=r"lacks or garbles|numbers a virtual token"):
        SoftPrompt.load(folder)


def test_other_peft_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    with pytest.raises(ArtifactError, match="of type 'LORA'"):
        SoftPrompt.load(tmp_path)


def same_as_theirs(prompt: SoftPrompt, backbone: Any, theirs: Any) -> None:
    """An encoder-decoder scores an answer with the prompt as PEFT's model does."""
    example = prompt.layout(backbone).example(Rendered(("giao hàng nhanh",), " "), ["tích cực"])
    ours = score_answers(backbone, [example], prompt.members, depth=prompt.depth)[0, 0, 0]
    read = example.encoder or example.context
    ids = torch.tensor([[token for token in read if token >= 0]])
    labels = torch.tensor([example.answers[0]])
    with torch.no_grad():
        loss = theirs(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).loss
    assert ours == pytest.approx(-float(loss) * labels.shape[1], abs=1e-3)


def test_a_prompt_of_peft_for_an_encoder_decoder_scores_as_in_peft(tmp_path: Path) -> None:
    config = peft.PromptTuningConfig(task_type="SEQ_2_SEQ_LM", num_virtual_tokens=4)
    theirs = peft.get_peft_model(tiny_encoder_decoder_model("t5").float(), config).eval()
    theirs.save_pretrained(tmp_path)
    loaded, backbone = SoftPrompt.load(tmp_path), tiny_encoder_decoder("t5")
    assert loaded.length == 4
    same_as_theirs(loaded, backbone, theirs)


@pytest.mark.parametrize("layers", [2, 3])
def test_a_prefix_of_peft_for_an_encoder_decoder_scores_as_in_peft(
    tmp_path: Path, layers: int
) -> None:
    config = peft.PrefixTuningConfig(task_type="SEQ_2_SEQ_LM", num_virtual_tokens=4)
    base = tiny_encoder_decoder_model("t5", layers).float()
    theirs = peft.get_peft_model(base, config).eval()
    torch.nn.init.normal_(theirs.prompt_encoder["default"].embedding.weight)
    theirs.save_pretrained(tmp_path)
    loaded = SoftPrompt.load(tmp_path)
    assert (loaded.placement, loaded.depth) == ("suffix", "kv")
    same_as_theirs(loaded, EncoderDecoder(base, tiny_tokenizer("encoder_decoder")), theirs)
    axes = described(config, "encoder_decoder")
    assert (axes.placement, axes.depth, axes.length) == ("suffix", "kv", 4)


def test_a_task_type_that_no_backbone_has_is_no_matter_of_the_model(
    tmp_path: Path, saved: Backbone
) -> None:
    folder = export_peft(make("front", saved), tmp_path / "peft", saved)
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text())
    for task_type, advice in (("FEATURE_EXTRACTION", "Use PEFT"), ("SEQ_2_SEQ_LM", "Load it with")):
        file.write_text(json.dumps({**config, "task_type": task_type}))
        with pytest.raises(ArtifactError, match=f"task type '{task_type}'.*{advice}"):
            SoftPrompt.load(folder).check_backbone(saved)


def test_a_prefix_in_one_cache_with_cross_attention_is_refused(tmp_path: Path) -> None:
    config = peft.PrefixTuningConfig(
        task_type="SEQ_2_SEQ_LM", num_virtual_tokens=4, num_transformer_submodules=1
    )
    peft.get_peft_model(tiny_encoder_decoder_model("t5").float(), config).save_pretrained(tmp_path)
    with pytest.raises(ArtifactError, match="num_transformer_submodules=1"):
        SoftPrompt.load(tmp_path)


def test_a_folder_of_another_kind_of_model_is_refused(tmp_path: Path, saved: Backbone) -> None:
    other = tiny_encoder_decoder("t5")
    theirs_saved(CONFIGS["prompt tuning"](), saved, tmp_path / "theirs")
    prompt = SoftPrompt.load(tmp_path / "theirs")
    prompt.check_backbone(saved)
    with pytest.raises(ArtifactError, match=r"'CAUSAL_LM'; .* is of another form"):
        prompt.check_backbone(other)


def test_a_prefix_of_other_heads_is_refused(tmp_path: Path, saved: Backbone) -> None:
    theirs_saved(CONFIGS["prefix tuning"](), saved, tmp_path / "theirs")
    file = tmp_path / "theirs" / "adapter_config.json"
    config = json.loads(file.read_text())
    SoftPrompt.load(tmp_path / "theirs").check_backbone(saved)
    heads = 2 * config["num_attention_heads"]
    file.write_text(json.dumps({**config, "num_attention_heads": heads}))
    with pytest.raises(ArtifactError, match="keys are of shape"):
        SoftPrompt.load(tmp_path / "theirs").check_backbone(saved)


def test_one_layer_of_an_lstm_is_what_is_built(recwarn: pytest.WarningsRecorder) -> None:
    for layers in (1, 2):
        described(
            peft.PromptEncoderConfig(
                num_virtual_tokens=4,
                encoder_reparameterization_type="LSTM",
                encoder_num_layers=layers,
            ),
            "continued",
        )
    assert [("encoder_num_layers" in str(w.message)) for w in recwarn] == [True]


@pytest.mark.parametrize("placement", ["front", "prefix"])
def test_a_prompt_for_an_encoder_decoder_goes_to_peft(tmp_path: Path, placement: str) -> None:
    backbone = tiny_encoder_decoder("t5")
    prompt = prompt_of(placement, "input", backbone)
    folder = export_peft(prompt, tmp_path / "peft", backbone)
    base = tiny_encoder_decoder_model("t5").float()
    theirs = peft.PeftModel.from_pretrained(base, folder).eval()
    same_as_theirs(prompt, backbone, theirs)
    loaded = SoftPrompt.load(folder)
    assert torch.equal(loaded.vectors, prompt.vectors)
    with pytest.raises(UsageError, match="shared by pairs of layers"):
        export_peft(prompt_of(placement, "kv", backbone), tmp_path / "kv", backbone)


def test_the_revision_of_a_hub_model_goes_both_ways(tmp_path: Path) -> None:
    backbone = tiny_backbone()
    pinned = replace(backbone.identity, name="someone/model", revision="v1")
    prompt = replace(prompt_of("front", "input", backbone), backbone=pinned)
    folder = export_peft(prompt, tmp_path / "peft", backbone)
    assert peft.PeftConfig.from_pretrained(folder).revision == "v1"
    for file in folder.iterdir():
        if file.name not in ("adapter_config.json", "adapter_model.safetensors"):
            file.unlink()
    found = SoftPrompt.load(folder).backbone
    assert (found.name, found.revision) == ("someone/model", "v1")
    local = replace(prompt, backbone=replace(pinned, name=str(tmp_path)))
    folder = export_peft(local, tmp_path / "local", backbone)
    assert peft.PeftConfig.from_pretrained(folder).revision is None


def test_what_stands_elsewhere_or_has_a_head_is_left_to_peft(tmp_path: Path) -> None:
    headed = peft.PrefixTuningConfig(num_virtual_tokens=4, modules_to_save=["score"])
    with pytest.raises(ConfigError, match="modules_to_save"):
        described(headed, "continued")
    model = tiny_model("llama")
    peft.get_peft_model(
        model, peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    ).save_pretrained(tmp_path / "b")
    file = tmp_path / "b" / "adapter_model.safetensors"
    save_file({**load_file(file), "base_model.score.weight": torch.zeros(2, 32)}, file)
    with pytest.raises(ArtifactError, match="'prompt_embeddings' alone is wanted"):
        SoftPrompt.load(tmp_path / "b")


def test_the_form_of_the_backbone_says_where_a_prefix_stands() -> None:
    untold = peft.PrefixTuningConfig(num_virtual_tokens=4)
    assert described(untold, "encoder_decoder").placement == "suffix"
    assert described(untold, "continued").placement == "front"
    for task_type, form in (("SEQ_2_SEQ_LM", "continued"), ("CAUSAL_LM", "encoder_decoder")):
        other = peft.PrefixTuningConfig(task_type=task_type, num_virtual_tokens=4)
        with pytest.raises(ConfigError, match=f"is of task type '{task_type}'"):
            described(other, form)
