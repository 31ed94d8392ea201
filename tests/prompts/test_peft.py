"""PEFT's folders, both ways, with equal logits where PEFT is right (no padding)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import save_tiny

from prompts.test_artifact import make
from softprompt.backbones import Backbone, load_backbone
from softprompt.errors import ArtifactError, UsageError
from softprompt.inference.scoring import score_answers
from softprompt.prompts import SoftPrompt
from softprompt.prompts.peft import export_peft
from softprompt.tasks import Rendered

peft = pytest.importorskip("peft")


@pytest.fixture
def saved(tmp_path: Path) -> Backbone:
    return load_backbone(str(save_tiny(tmp_path / "model")), dtype="fp32")


def our_scores(prompt: SoftPrompt, backbone: Backbone, text: str) -> list[float]:
    layout = prompt.layout(backbone)
    rendered = Rendered((f"{text}\nĐánh giá:",), " ")
    example = layout.example(rendered, list(prompt.task.wordings))
    return score_answers(backbone, [example], prompt.members)[0, 0].tolist()


def peft_scores(folder: Path, backbone: Backbone, text: str, *, bos: bool) -> list[float]:
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(backbone.identity.name)
    model = peft.PeftModel.from_pretrained(base.float(), folder).eval()
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


@pytest.mark.parametrize(("placement", "bos"), [("front", True), ("prefix", False)])
def test_exported_prompts_give_equal_logits_in_peft(
    tmp_path: Path, saved: Backbone, placement: str, bos: bool
) -> None:
    prompt = make(placement, saved)
    folder = export_peft(prompt, tmp_path / "peft", saved)
    ours = our_scores(prompt, saved, "giao hàng nhanh")
    theirs = peft_scores(folder, saved, "giao hàng nhanh", bos=bos)
    assert ours == pytest.approx(theirs, abs=1e-3)
    assert ours != pytest.approx(our_scores(make("suffix", saved), saved, "giao hàng nhanh"))


@pytest.mark.parametrize("placement", ["front", "prefix"])
def test_an_exported_folder_comes_back_the_same(
    tmp_path: Path, saved: Backbone, placement: str
) -> None:
    prompt = make(placement, saved)
    loaded = SoftPrompt.load(export_peft(prompt, tmp_path / "peft", saved))
    assert torch.equal(loaded.vectors, prompt.vectors)
    assert (loaded.placement, loaded.task) == (placement, prompt.task)


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


def test_a_folder_that_peft_wrote_loads_as_front(tmp_path: Path, saved: Backbone) -> None:
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(saved.identity.name)
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    model = peft.get_peft_model(base.float(), config)
    model.save_pretrained(tmp_path / "theirs")
    loaded = SoftPrompt.load(tmp_path / "theirs")
    assert loaded.placement == "front"
    theirs = model.get_prompt_embedding_to_save(adapter_name="default")
    assert torch.equal(loaded.vectors, theirs.detach().cpu())
    loaded.check_backbone(saved)


@pytest.mark.parametrize("placement", ["suffix", "slots"])
def test_what_peft_cannot_hold_is_refused(tmp_path: Path, saved: Backbone, placement: str) -> None:
    with pytest.raises(UsageError, match="its virtual tokens always stand before the whole input"):
        export_peft(make(placement, saved), tmp_path / "peft", saved)
    assert not (tmp_path / "peft").exists()


def test_other_peft_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    with pytest.raises(ArtifactError, match="of type 'LORA'"):
        SoftPrompt.load(tmp_path)
