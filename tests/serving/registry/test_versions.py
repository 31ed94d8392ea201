"""Versions, aliases, tags and rollback; what names mean, and what is said of others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_backbone

from softprompt.errors import ArtifactError, SoftPromptError, UnknownPromptError, UsageError
from softprompt.prompts import SoftPrompt
from softprompt.serving.registry import Registry
from softprompt.serving.source import Source, Version
from softprompt.storage import canonical_json, sha256

Make = Callable[..., SoftPrompt]


def seed(registry: Registry, name: str) -> int:
    """What the vectors hold of the prompt that a name means."""
    return int(registry.load(registry.resolve(name)).vectors[0, 0])


def test_a_registry_is_a_source(registry: Registry, make: Make) -> None:
    source: Source = registry
    version = registry.publish("reviews", make(7))
    assert source.resolve("reviews") == version == Version("reviews", 1, version.key)
    assert torch.equal(source.load(version).vectors, make(7).vectors)


def test_versions_are_numbered_and_the_last_is_current(registry: Registry, make: Make) -> None:
    for number in (1, 2, 3):
        assert registry.publish("reviews", make(number)).number == number
    assert [seed(registry, name) for name in ("reviews", "reviews@1", "reviews@3")] == [3, 1, 3]


def test_the_same_content_has_the_same_key(registry: Registry, make: Make) -> None:
    one, other = registry.publish("one", make(1)), registry.publish("other", make(1))
    assert one.key == other.key != registry.publish("one", make(2)).key


def test_an_artifact_is_published_byte_for_byte(
    registry: Registry, make: Make, tmp_path: Path, folder: Path
) -> None:
    made = make(1).save(tmp_path / "made")
    (made / "notes.txt").write_text("not part of an artifact")
    registry.publish("reviews", made)
    published = folder / "reviews" / "1"
    assert sorted(path.name for path in published.iterdir()) == [
        "README.md",
        "prompt.json",
        "prompt.safetensors",
    ]
    for file in published.iterdir():
        assert file.read_bytes() == (made / file.name).read_bytes()


def test_a_dropped_artifact_is_version_1(registry: Registry, make: Make, folder: Path) -> None:
    make(1).save(folder / "reviews")
    assert registry.resolve("reviews").label == "reviews@1"
    assert seed(registry, "reviews") == 1
    make(2).save(folder / "reviews")
    assert seed(registry, "reviews@1") == 2
    # A publication gives it a folder of its own, so that nothing saved there takes the others.
    key = registry.resolve("reviews").key
    registry.publish("reviews", make(3))
    assert sorted(path.name for path in (folder / "reviews").iterdir()) == [
        ".name.json",
        "1",
        "2",
        "name.json",
    ]
    assert registry.resolve("reviews@1").key == key
    assert [seed(registry, name) for name in ("reviews", "reviews@1")] == [3, 2]
    with pytest.raises(UsageError, match="in use by something else"):
        make(4).save(folder / "reviews")


def test_artifacts_dropped_beside_versions_are_told_of_and_not_served(
    registry: Registry, make: Make, folder: Path, tmp_path: Path
) -> None:
    registry.publish("reviews", make(1))
    shutil.copytree(make(2).save(tmp_path / "made"), folder / "reviews", dirs_exist_ok=True)
    assert seed(registry, "reviews") == 1
    assert [card.number for card in registry.history("reviews")] == [1, 0]
    assert "lie beside the versions" in registry.history("reviews")[1].problem
    registry.publish("reviews", make(3))
    assert (folder / "reviews" / "prompt.json").is_file()


def test_versions_dropped_by_hand(registry: Registry, make: Make, folder: Path) -> None:
    make(1).save(folder / "news" / "1")
    make(2).save(folder / "news" / "2")
    assert [seed(registry, name) for name in ("news", "news@1")] == [2, 1]
    registry.rollback("news")
    assert seed(registry, "news") == 1
    make(3).save(folder / "news" / "3")
    assert seed(registry, "news") == 3


def test_a_record_written_by_hand_decides(registry: Registry, make: Make, folder: Path) -> None:
    for number in (1, 2, 3):
        make(number).save(folder / "news" / str(number))
    text = '{"format": 1, "current": 2, "aliases": {"production": 1}, "tags": {"team": "a"}}'
    (folder / "news" / "name.json").write_text(text)
    assert [seed(registry, name) for name in ("news", "news@production")] == [2, 1]
    assert registry.list()[0].tags == {"team": "a"}
    (folder / "news" / "name.json").write_text(text.replace("2", "3"))
    assert seed(registry, "news") == 3


def test_rollback_goes_back_to_what_was_current_before(registry: Registry, make: Make) -> None:
    for number in (1, 2, 3):
        registry.publish("reviews", make(number))
    assert registry.rollback("reviews").number == 2
    assert registry.publish("reviews", make(4)).number == 4
    # Version 3 was given up: it is not what was served before.
    assert registry.rollback("reviews").number == 2
    assert registry.rollback("reviews").number == 1
    with pytest.raises(UsageError, match=r"reviews@1 is the first .* Name one: 1, 2, 3, 4\."):
        registry.rollback("reviews")
    assert registry.rollback("reviews", 4).number == 4
    assert registry.rollback("reviews").number == 1
    with pytest.raises(UnknownPromptError, match="'reviews@9'"):
        registry.rollback("reviews", 9)


def test_a_version_can_be_published_without_becoming_current(
    registry: Registry, make: Make
) -> None:
    registry.publish("reviews", make(1))
    registry.publish("reviews", make(2), current=False, aliases=["canary"], tags={"team": "b"})
    assert [seed(registry, name) for name in ("reviews", "reviews@canary")] == [1, 2]
    assert registry.list()[0].tags == {"team": "b"}
    registry.publish("reviews", make(3))
    assert registry.rollback("reviews").number == 1


def test_aliases(registry: Registry, make: Make) -> None:
    for number in (1, 2):
        registry.publish("reviews", make(number))
    registry.alias("reviews@1", "production")
    assert seed(registry, "reviews@production") == 1
    registry.alias("reviews", "production")
    assert seed(registry, "reviews@production") == 2
    assert registry.alias("reviews@production", "stable").number == 2
    assert registry.list()[0].aliases == ("production", "stable")
    registry.unalias("reviews", "stable")
    with pytest.raises(UnknownPromptError, match=r"'reviews@stable'.*Allowed: 1, 2, production"):
        registry.resolve("reviews@stable")
    with pytest.raises(UnknownPromptError, match="'reviews@stable'"):
        registry.unalias("reviews", "stable")


def test_tags(registry: Registry, make: Make) -> None:
    registry.publish("reviews", make(1), tags={"language": "vi"})
    registry.tag("reviews", {"team": "support", "tried": ""})
    registry.tag("reviews", {"tried": None})
    assert registry.list()[0].tags == {"language": "vi", "team": "support"}


def test_removing_a_version(registry: Registry, make: Make, folder: Path) -> None:
    for number in (1, 2, 3):
        registry.publish("reviews", make(number))
    registry.alias("reviews@2", "production")
    with pytest.raises(UsageError, match="reviews@2 is what reviews@production means"):
        registry.remove("reviews", 2)
    registry.remove("reviews", 3)
    assert seed(registry, "reviews") == 2
    assert registry.publish("reviews", make(4)).number == 4
    registry.remove("reviews", 1)
    registry.remove("reviews", 4)
    with pytest.raises(UsageError, match="the only version"):
        registry.remove("reviews", 2)
    with pytest.raises(UnknownPromptError, match="no version 1 of 'reviews'"):
        registry.remove("reviews", 1)
    assert list((folder / ".registry" / "trash").iterdir()) == []


def test_removing_a_dropped_version_that_got_company(
    registry: Registry, make: Make, folder: Path
) -> None:
    make(1).save(folder / "reviews")
    make(2).save(folder / "reviews" / "2")
    registry.remove("reviews", 1)
    assert [card.number for card in registry.history("reviews")] == [2]


def test_removing_a_name(registry: Registry, make: Make, folder: Path) -> None:
    version = registry.publish("reviews", make(1))
    registry.publish("news", make(2))
    registry.remove("reviews")
    with pytest.raises(UnknownPromptError, match=r"no prompt 'reviews'.*news"):
        registry.resolve("reviews")
    with pytest.raises(UnknownPromptError, match="reviews@1 has been removed"):
        registry.load(version)
    with pytest.raises(UnknownPromptError):
        registry.remove("reviews")
    assert not (folder / "reviews").exists()
    assert registry.names() == ["news"]
    assert registry.publish("reviews", make(3)).number == 1


def test_unknown_names_are_answered_with_the_nearest(registry: Registry, make: Make) -> None:
    with pytest.raises(UnknownPromptError, match=r"'x'\. None is registered yet"):
        registry.resolve("x")
    registry.publish("reviews", make(1))
    with pytest.raises(UnknownPromptError, match="Did you mean 'reviews'"):
        registry.resolve("review")
    with pytest.raises(UnknownPromptError, match=r"'reviews@7'.*Allowed: 1\."):
        registry.resolve("reviews@7")
    for reference in ("", "@", "@1", "reviews@@", "../x", "a/b", "x" * 5000, "reviews@" + "9" * 99):
        with pytest.raises(UnknownPromptError) as caught:
            registry.resolve(reference)
        assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../up", "a/b", "a\\b", ".hid", "-flag", "a b", "a@b", "a:", "a\0", "x" * 101],
)  # fmt: skip
def test_names_that_cannot_be(registry: Registry, make: Make, folder: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"cannot be the name of a prompt\. Letters and digits"):
        registry.publish(name, make(1))
    assert not list(folder.parent.rglob("prompt.json"))


def test_names_are_unicode_in_one_form(registry: Registry, make: Make, folder: Path) -> None:
    decomposed = "ca\u0309m-xu\u0301c"
    assert registry.publish(decomposed, make(1)).name == "c\u1ea3m-x\u00fac"
    assert registry.resolve(decomposed) == registry.resolve("c\u1ea3m-x\u00fac")
    with pytest.raises(UsageError, match="a number names a version"):
        registry.alias("c\u1ea3m-x\u00fac", "7")


def test_a_damaged_artifact_is_not_published(
    registry: Registry, make: Make, tmp_path: Path, folder: Path
) -> None:
    made = make(1).save(tmp_path / "made")
    (made / "prompt.safetensors").write_bytes(b"\x00" * 64)
    with pytest.raises(ArtifactError, match="damaged") as caught:
        registry.publish("reviews", made)
    assert "incoming" not in str(caught.value)
    with pytest.raises(ArtifactError, match="not a soft prompt"):
        registry.publish("reviews", tmp_path / "nowhere")
    assert registry.names() == []
    assert list((folder / ".registry" / "incoming").iterdir()) == []


def rewritten(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """An artifact with another description, and a digest that fits it."""
    file = folder / "prompt.json"
    description = json.loads(file.read_text())
    change(description)
    description.pop("digest")
    description["digest"] = sha256(canonical_json(description).encode())
    file.write_text(json.dumps(description))
    return folder


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        (("task", "temperature"), 0, "temperature is 0"),
        (("task", "temperature"), "1", "temperature is '1'"),
        (("task", "adjustment"), [0.5], "adjustment of 2 labels"),
        (("task", "demands"), {"format": 3}, "neither an expression nor a schema"),
        (("task", "demands"), {"format": "("}, "no regular expression"),
        (("task", "demands"), {"format": {"$ref": "http://a/b"}}, "refers to 'http://a/b'"),
        (("task", "demands"), {"terms": [None]}, "term None is empty or no text"),
        (("task", "demands"), {"length": 3}, "held against is"),
        (("task", "demands"), 3, "held against is 3"),
        (("task", "adjustment"), [0.0, "1"], "adjustment of 2 labels"),
        (("task", "adjustment"), [0.0, 1e9], "adjustment of 2 labels"),
        (("task", "adjustment"), 3, "cannot be understood|lacks or garbles"),
        (("task", "scoring"), "first", "way of scoring is 'first'"),
        (("task", "max_new_tokens"), -1, "-1 tokens"),
        (("task", "kind"), "magic", "'magic'"),
        (("task", "choices"), [{"label": "a", "wording": "b"}], "fewer than two"),
        (("task", "choices"), [{"label": "a", "wording": 3}] * 2, "no wording"),
        (("task", "choices"), {}, "fewer than two|cannot be understood"),
        (("task", "template"), "{other}{answer}", "other columns"),
        (("task", "template"), "{text", "template"),
        (("task", "template"), 7, "cannot be understood"),
        (("task", "inputs"), 3, "cannot be understood|lacks or garbles"),
        (("task", "target"), None, "another type"),
        (("placement",), "everywhere", "'everywhere'"),
        (("placement",), "slots", "slots of its template"),
        (("depth",), "abyss", "'abyss'"),
        (("backbone", "weights"), "f" * 900, "no SHA-256"),
        (("backbone", "name"), None, "no name"),
        (("dtype",), "int1", "'int1'"),
        (("metrics",), [], "no mapping"),
        (("tensors",), {}, "names"),
        (("format",), "x", "format"),
        (("task", "kind"), "vectors", "stands among the vectors of a module"),
    ],
)
def test_what_contradicts_itself_is_refused(
    registry: Registry, make: Make, tmp_path: Path, place: tuple[str, ...], value: Any, told: str
) -> None:
    def change(description: dict[str, Any]) -> None:
        for key in place[:-1]:
            description = description[key]
        description[place[-1]] = value

    made = rewritten(make(1).save(tmp_path / "made"), change)
    with pytest.raises(ArtifactError, match=told):
        registry.publish("reviews", made)
    shutil.copytree(made, registry.folder / "dropped")
    with pytest.raises(UnknownPromptError, match="dropped@1 is not served"):
        registry.resolve("dropped")


def reading(choices: int, numbers: int = 64) -> dict[str, torch.Tensor]:
    return {
        "vectors": torch.zeros(4, 32),
        "readout.weight": torch.zeros(choices, numbers),
        "readout.bias": torch.zeros(choices),
    }


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"tensors": {k: v for k, v in reading(2).items() if "bias" not in k}}, "of a readout"),
        ({"tensors": reading(3)}, "not one row for each of 2 choices"),
        ({"tensors": reading(2), "placement": "prefix"}, "of placement 'prefix'"),
        ({"tensors": reading(2, 1_000_001)}, "reads 1000001 numbers"),
    ],
)
def test_a_readout_that_does_not_fit_is_refused(
    registry: Registry, make: Make, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ArtifactError, match=told):
        registry.publish("reviews", make(1, **changes))


def test_a_readout_of_other_sizes_is_refused_by_the_backbone(make: Make) -> None:
    backbone = tiny_backbone()
    with pytest.raises(ArtifactError, match=r"readout reads 65 numbers; .* has"):
        make(1, tensors=reading(2, 65)).layout(backbone)


def test_a_prompt_of_another_backbone_is_refused_at_once(
    folder: Path, make: Make, foreign: SoftPrompt
) -> None:
    backbone = tiny_backbone()
    for known in (backbone, backbone.identity):
        registry = Registry(folder, backbone=known, check_every=0)
        sides = rf"belongs to other \(weights ffff.*{backbone.identity.weights[:12]}"
        with pytest.raises(ArtifactError, match=sides):
            registry.publish("reviews", foreign)
        assert registry.publish("fits", make(1)).number >= 1
    wide = make(1, tensors={"vectors": torch.zeros(4, 16)})
    with pytest.raises(ArtifactError, match=r"vectors have 16 numbers, and .* takes 32"):
        Registry(folder, backbone=backbone).publish("wide", wide)


def test_what_does_not_fit_is_listed_with_the_reason_and_never_served(
    folder: Path, make: Make, foreign: SoftPrompt
) -> None:
    everything = Registry(folder)
    everything.publish("foreign", foreign)
    make(1).save(folder / "fits")
    wide = make(1, tensors={"vectors": torch.zeros(4, 16)}).save(folder / "wide")
    cut = make(1).save(folder / "cut")
    (cut / "prompt.safetensors").write_bytes((cut / "prompt.safetensors").read_bytes()[:-9])
    registry = Registry(folder, backbone=tiny_backbone(), check_every=0)
    problems = {card.name: card.problem for card in registry.list()}
    assert problems["fits"] == ""
    assert "belongs to other" in problems["foreign"]
    assert "takes 32" in problems["wide"]
    assert "damaged or cut off" in problems["cut"]
    assert str(folder) not in "".join(problems.values())
    assert [card.name for card in registry.list(servable=True)] == ["fits"]
    for name in ("foreign", "wide", "cut"):
        with pytest.raises(UnknownPromptError, match=f"{name}@1 is not served"):
            registry.resolve(name)
    shutil.rmtree(cut)
    shutil.copytree(folder / "fits", cut)
    assert registry.resolve("cut").key == registry.resolve("fits").key
    assert wide.is_dir()


def test_links_are_not_followed(
    registry: Registry, make: Make, folder: Path, tmp_path: Path
) -> None:
    outside = make(1).save(tmp_path / "outside")
    (folder / "linked").symlink_to(outside)
    (folder / "news").mkdir()
    (folder / "news" / "1").symlink_to(outside)
    (folder / "file").mkdir()
    shutil.copy(outside / "prompt.json", folder / "file")
    (folder / "file" / "prompt.safetensors").symlink_to(outside / "prompt.safetensors")
    for name in ("linked", "news", "file"):
        with pytest.raises(UnknownPromptError, match="link"):
            registry.resolve(name)
    with pytest.raises(UsageError, match="nothing is written through it"):
        registry.publish("linked", make(2))
    problems = {card.name: card.problem for card in registry.list()}
    assert all("link" in problems[name] for name in ("linked", "news", "file"))
    registry.remove("linked")
    assert (outside / "prompt.json").is_file()


def test_what_is_no_prompt_is_left_alone(registry: Registry, make: Make, folder: Path) -> None:
    (folder / "README.md").write_text("notes")
    (folder / "empty").mkdir()
    (folder / "with space").mkdir()
    (folder / ".hidden").mkdir()
    registry.publish("reviews", make(1))
    found = {card.name: card.problem for card in registry.list()}
    assert found == {"reviews": "", "with space": "The folder's name cannot be a prompt's."}


def test_a_peft_folder_is_brought_into_our_form(
    registry: Registry, tmp_path: Path, make: Make, folder: Path
) -> None:
    from softprompt.prompts.peft import export_peft

    made = export_peft(make(5, placement="front"), tmp_path / "peft", tiny_backbone())
    registry.publish("ours", made)
    assert seed(registry, "ours") == 5
    one = make(5, placement="front")
    both = {"member.0.vectors": one.vectors, "member.1.vectors": 2 * one.vectors}
    several = export_peft(replace(one, tensors=both), tmp_path / "several", tiny_backbone())
    registry.publish("several", several)
    assert len(registry.load(registry.resolve("several")).members) == 2
    for dropped in (made, several):
        shutil.copytree(dropped, folder / f"dropped-{dropped.name}")
        with pytest.raises(UnknownPromptError, match="PEFT's format"):
            registry.resolve(f"dropped-{dropped.name}")


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "[]", '{"format": 9}', '{"format": 1, "current": "x"}', "[" * 99999,
        '{"format": 1, "before": 5}', '{"format": 1, "before": null}',
        '{"format": 1, "last": 1000000000}', '{"format": 1, "tags": {"team": "\\ud800"}}',
        '{"format": 1, "aliases": {"\\udc00": 1}}',
    ],
)  # fmt: skip
def test_a_damaged_record_is_read_from_its_copy(
    registry: Registry, make: Make, folder: Path, content: str
) -> None:
    for number in (1, 2):
        registry.publish("reviews", make(number))
    registry.alias("reviews@1", "production")
    registry.rollback("reviews")
    (folder / "reviews" / "name.json").write_text(content)
    assert [seed(registry, name) for name in ("reviews", "reviews@production")] == [1, 1]
    assert registry.index_trouble == ""
    (folder / "reviews" / ".name.json").write_text(content)
    (folder / "reviews" / "name.json").write_text(content + " ")
    # Nobody knows which version was meant, and the wrong one is worse than none.
    for name in ("reviews", "reviews@production"):
        with pytest.raises(UnknownPromptError, match=r"name\.json is damaged"):
            registry.resolve(name)
    assert seed(registry, "reviews@2") == 2
    assert "name.json is damaged" in registry.list()[0].problem
    assert Registry(folder).resolve("reviews@2").number == 2
    registry.rollback("reviews", 1)
    assert seed(registry, "reviews") == 1


def test_a_damaged_version_is_refused_by_load(registry: Registry, make: Make, folder: Path) -> None:
    version = registry.publish("reviews", make(1))
    file = folder / "reviews" / "1" / "prompt.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(ArtifactError, match="is not the one that") as caught:
        registry.load(version)
    assert str(folder) not in str(caught.value)


def test_a_replaced_version_is_not_given_for_the_old_one(
    registry: Registry, make: Make, folder: Path
) -> None:
    make(1).save(folder / "reviews")
    old = registry.resolve("reviews")
    make(2).save(folder / "reviews")
    with pytest.raises(UnknownPromptError, match="removed or replaced"):
        registry.load(old)
    assert seed(registry, "reviews") == 2


def test_errors_are_of_the_project(registry: Registry, folder: Path, make: Make) -> None:
    (folder.parent / "file").write_text("")
    with pytest.raises(SoftPromptError, match="is no folder"):
        Registry(folder.parent / "file")
    make(1).save(folder / "reviews")
    with pytest.raises(UsageError, match=r"reviews is a prompt\. Name the folder that holds it"):
        Registry(folder / "reviews")
    assert not (folder / "reviews" / ".registry").exists()
    with pytest.raises(UsageError, match="address of the index"):
        Registry(folder, index_url="nonsense")
    with pytest.raises(UsageError, match="cannot be kept in mysql"):
        Registry(folder, index_url="mysql://user:secret@host/db")
