"""Saved equals loaded; whatever is damaged, changed, too new or foreign is refused in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_backbone, tiny_model, tiny_tokenizer

from softprompt.backbones import Backbone
from softprompt.errors import ArtifactError, UsageError
from softprompt.prompts import PromptTask, SoftPrompt
from softprompt.tasks import Choice


def make(placement: str = "suffix", backbone: Backbone | None = None) -> SoftPrompt:
    backbone = backbone or tiny_backbone()
    generator = torch.Generator().manual_seed(3)
    return SoftPrompt(
        tensors={"vectors": torch.randn(4, backbone.hidden_size, generator=generator)},
        placement=placement,
        task=PromptTask(
            "classification",
            "{text}\nĐánh giá: {answer}",
            ("text",),
            "sentiment",
            (Choice("pos", "tích cực"), Choice("neg", "tiêu cực")),
            temperature=1.5,
            adjustment=(0.0, 0.25),
        ),
        backbone=backbone.identity,
        metrics={"test": {"n": 10, "accuracy": 0.8, "macro_f1": 0.7, "interval": [0.4, 0.9]}},
        data={"a.csv": "00"},
        config={"training": {"epochs": 3}},
    )


def test_saved_equals_loaded(tmp_path: Path) -> None:
    prompt = make()
    loaded = SoftPrompt.load(prompt.save(tmp_path / "prompt"))
    assert torch.equal(loaded.vectors, prompt.vectors)
    assert replace(loaded, tensors={}) == replace(prompt, tensors={})


def test_several_slots_keep_their_order(tmp_path: Path) -> None:
    tensors = {f"slot.{i}": torch.full((1, 32), float(i)) for i in range(12)}
    prompt = replace(make(), tensors=tensors, placement="slots")
    loaded = SoftPrompt.load(prompt.save(tmp_path / "prompt"))
    assert loaded.vectors[:, 0].tolist() == [float(i) for i in range(12)]


def test_the_folder_is_readable_without_the_project(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    path = make().save(tmp_path / "prompt")
    assert sorted(p.name for p in path.iterdir()) == [
        "README.md",
        "prompt.json",
        "prompt.safetensors",
    ]
    assert load_file(path / "prompt.safetensors")["vectors"].shape == (4, 32)
    described = json.loads((path / "prompt.json").read_text(encoding="utf-8"))
    assert described["format"] == 7
    assert described["task"]["choices"][0] == {"label": "pos", "wording": "tích cực"}
    assert "| test | 10 | accuracy | 0.800 | 0.400 to 0.900 |" in (path / "README.md").read_text()


def cut(path: Path) -> None:
    file = path / "prompt.safetensors"
    file.write_bytes(file.read_bytes()[:-50])


def flip(path: Path) -> None:
    file = path / "prompt.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))


def edit(path: Path) -> None:
    file = path / "prompt.json"
    file.write_text(file.read_text().replace('"accuracy": 0.8', '"accuracy": 0.9'))


def newer(path: Path) -> None:
    file = path / "prompt.json"
    file.write_text(file.read_text().replace('"format": 7', '"format": 99'))


def no_json(path: Path) -> None:
    (path / "prompt.json").write_text("{")


def no_tensors(path: Path) -> None:
    (path / "prompt.safetensors").unlink()


def nothing(path: Path) -> None:
    shutil.rmtree(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "damaged or cut off"),
        (flip, "'vectors' in .* is not the one that prompt.json names"),
        (edit, "was changed after it was written"),
        (newer, "has format 99; this version reads up to 7"),
        (no_json, "it is not JSON"),
        (no_tensors, "prompt.safetensors is missing"),
        (nothing, "is not a soft prompt: there is no prompt.json"),
    ],
)
def test_damage_is_refused(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    path = make().save(tmp_path / "prompt")
    damage(path)
    with pytest.raises(ArtifactError, match=message):
        SoftPrompt.load(path)


def test_another_backbone_of_the_same_size_is_refused_with_both_named() -> None:
    other = tiny_model("llama")
    with torch.no_grad():
        next(iter(other.parameters()))[3, 3] += 1
    stranger = Backbone(other, tiny_tokenizer())
    with pytest.raises(
        ArtifactError, match=r"belongs to .* \(weights .*backbone given is"
    ) as raised:
        make().layout(stranger)
    assert stranger.identity.weights[:12] in raised.value.message
    assert make().backbone.weights[:12] in raised.value.message


def test_another_tokenizer_is_refused() -> None:
    import copy

    tokenizer = copy.deepcopy(tiny_tokenizer())
    tokenizer.add_tokens(["newword"])
    stranger = Backbone(tiny_model("llama"), tokenizer)
    with pytest.raises(ArtifactError, match=r"\(tokenizer "):
        make().layout(stranger)


def test_saving_over_an_artifact_replaces_it_whole(tmp_path: Path) -> None:
    path = make().save(tmp_path / "prompt")
    make("prefix").save(path)
    assert SoftPrompt.load(path).placement == "prefix"
    assert [p.name for p in tmp_path.iterdir()] == ["prompt"]


def test_a_folder_of_something_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="in use by something else"):
        make().save(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_full_disk_leaves_the_old_artifact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make().save(tmp_path / "prompt")

    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UsageError, match="the disk is full"):
        make("prefix").save(path)
    monkeypatch.undo()
    assert SoftPrompt.load(path).placement == "suffix"
    assert [p.name for p in tmp_path.iterdir()] == ["prompt"]


def test_a_new_template_keeps_the_vectors_and_minds_the_slots() -> None:
    prompt = make().with_template("Text: {text}\nAnswer: {answer}")
    assert prompt.task.inputs == ("text",)
    assert torch.equal(prompt.vectors, make().vectors)
    with pytest.raises(UsageError, match="slots of \\[2\\] vectors; the prompt has \\[4\\]"):
        make().with_template("{prompt:2}{text}{answer}")
    assert make().with_template("{prompt:4}{text} {answer}").placement == "slots"


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5])
def test_an_artifact_of_an_older_format_still_loads(tmp_path: Path, version: int) -> None:
    from softprompt.storage import canonical_json, sha256

    path = make().save(tmp_path / "prompt")
    file = path / "prompt.json"
    described = json.loads(file.read_text(encoding="utf-8"))
    del described["digest"], described["task"]["demands"]
    described["task"]["adjustment"] = [0.0, 0.25]
    if version < 5:
        del described["task"]["adjustment_alone"]
    if version < 4:
        del described["task"]["adjustment"]
    if version < 3:
        del described["task"]["scoring"]
    if version < 2:
        del described["members"], described["population"]
    described["format"] = version
    described["digest"] = sha256(canonical_json(described).encode())
    file.write_text(json.dumps(described, ensure_ascii=False), encoding="utf-8")
    loaded = SoftPrompt.load(path)
    assert torch.equal(loaded.vectors, make().vectors)
    assert (len(loaded.members), loaded.population) == (1, ())
    assert loaded.task.scoring == "whole"
    assert loaded.task.adjustment == ((0.0, 0.25) if version >= 4 else ())
    assert loaded.task.adjustment_alone == ()
    assert loaded.task.demands == {}


def test_what_answers_are_held_against_is_kept(tmp_path: Path) -> None:
    from softprompt.storage import canonical_json, sha256

    demands = {"format": {"type": "object"}, "terms": ("giảng viên", "sinh viên")}
    task = replace(make().task, kind="generation", choices=(), demands=demands)
    path = replace(make(), task=task).save(tmp_path / "prompt")
    loaded = SoftPrompt.load(path)
    assert loaded.task == task
    assert hash(loaded.task) == hash(task)
    file = path / "prompt.json"
    described = json.loads(file.read_text(encoding="utf-8"))
    described["task"]["demands"] = "abc"
    del described["digest"]
    described["digest"] = sha256(canonical_json(described).encode())
    file.write_text(json.dumps(described, ensure_ascii=False), encoding="utf-8")
    with pytest.raises(ArtifactError, match="held against is 'abc'"):
        SoftPrompt.load(path)


def test_a_deep_prompt_whose_last_vector_predicted_is_refused(tmp_path: Path) -> None:
    from softprompt.storage import canonical_json, sha256

    backbone = tiny_backbone()
    vectors = torch.randn(backbone.layers, 4, backbone.hidden_size)
    for placement, told in (("suffix", True), ("prefix", False)):
        prompt = replace(make(placement), tensors={"deep": vectors}, depth="deep")
        path = prompt.save(tmp_path / placement)
        file = path / "prompt.json"
        described = json.loads(file.read_text(encoding="utf-8"))
        del described["digest"], described["task"]["adjustment_alone"]
        described["format"] = 4
        described["digest"] = sha256(canonical_json(described).encode())
        file.write_text(json.dumps(described, ensure_ascii=False), encoding="utf-8")
        if told:
            with pytest.raises(ArtifactError, match="before the text's last token now"):
                SoftPrompt.load(path)
        else:
            assert SoftPrompt.load(path).depth == "deep"


def test_an_ensemble_is_saved_under_its_members_names(tmp_path: Path) -> None:
    one = make()
    tensors = {f"member.{number}.vectors": one.vectors + number for number in range(12)}
    loaded = SoftPrompt.load(replace(one, tensors=tensors).save(tmp_path / "prompt"))
    assert len(loaded.members) == 12
    for number, vectors in enumerate(loaded.members):
        assert torch.equal(vectors, one.vectors + number)
    assert "12 prompts, averaged" in (tmp_path / "prompt" / "README.md").read_text("utf-8")


@pytest.mark.parametrize("config", [3, ["x"], {"peft": 3}, {"peft": {"task_type": ["x"]}}])
def test_what_stands_in_the_configuration_breaks_nothing(config: Any) -> None:
    backbone = tiny_backbone()
    replace(make("front", backbone), config=config).check_backbone(backbone)
