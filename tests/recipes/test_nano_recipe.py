"""The nano recipe as a user runs it, on generated text and a tiny model."""

from __future__ import annotations

import json
import lzma
import os
import random
import shutil
import signal
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import softprompt
from recipes.nano.__main__ import main
from recipes.nano.schedule import Progress, scale
from recipes.nano.settings import Settings
from recipes.nano.shards import Source
from recipes.nano.train import Trainer

ENGLISH = "the teacher explains every lesson clearly and answers questions after class"
VIETNAMESE = "giảng viên nhiệt tình và dễ hiểu nhưng bài tập quá khó đối với sinh viên"

TINY = {
    "vocabulary": 400,
    "hidden": 32,
    "layers": 2,
    "intermediate": 48,
    "heads": 2,
    "context": 64,
    "batch_tokens": 128,
    "lengths": "32",
    "cooldown_lengths": "32,64",
    "steps": 10,
    "cooldown_share": 0.4,
    "warmup_steps": 2,
    "report_steps": 1,
    "evaluate_steps": 5,
    "compile": "false",
    "threads": 1,
}


def _write_text(path: Path, sentence: str, seed: int) -> None:
    draw = random.Random(seed)
    words = sentence.split()
    texts = [" ".join(draw.choices(words, k=draw.randint(20, 60))) for _ in range(600)]
    content = "\n\n\n".join(texts)
    if path.suffix == ".xz":
        path.write_bytes(lzma.compress(content.encode()))
    else:
        path.write_text(content, encoding="utf-8")


def _command(texts: Path, output: Path, *more: str, **changes: object) -> list[str]:
    settings = [f"--set={key}={value}" for key, value in (TINY | changes).items()]
    words = ["--text", f"en={texts / 'en.txt'}", "--text", f"vi={texts / 'vi.txt.xz'}"]
    return [*words, "--output", str(output), *settings, *more]


@pytest.fixture(scope="module", autouse=True)
def _same_threads_afterwards() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    _write_text(folder / "en.txt", ENGLISH, 1)
    _write_text(folder / "vi.txt.xz", VIETNAMESE, 2)
    return folder


@pytest.fixture(scope="module")
def unbroken(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("unbroken")
    assert main(_command(texts, output)) == 0
    return output


def _log(output: Path) -> list[dict[str, object]]:
    lines = (output / "log.jsonl").read_text(encoding="utf-8").splitlines()
    timing = {"seconds", "tokens_per_second"}
    return [{k: v for k, v in json.loads(line).items() if k not in timing} for line in lines]


@pytest.mark.parametrize("last_step", [3, 8], ids=["stable", "cool-down"])
def test_an_interrupted_run_ends_as_the_unbroken_one(
    last_step: int,
    texts: Path,
    unbroken: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = Trainer._report

    def report_and_interrupt(self: Trainer, losses: list[float]) -> None:
        report(self, losses)
        if self.progress.step == last_step:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_report", report_and_interrupt)
        assert main(_command(texts, tmp_path)) == 130
    assert f"stopped at step {last_step}" in capsys.readouterr().out
    assert main(_command(texts, tmp_path)) == 0
    weights = Path("model") / "model.safetensors"
    assert (tmp_path / weights).read_bytes() == (unbroken / weights).read_bytes()
    assert _log(tmp_path) == _log(unbroken)


def test_a_killed_run_goes_on_from_its_last_checkpoint(
    texts: Path, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer._step

    def step_or_die(self: Trainer) -> float:
        if self.progress.step == 4:
            self.save()
        if self.progress.step == 6:
            raise MemoryError("killed")
        return step(self)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", step_or_die)
        with pytest.raises(MemoryError):
            main(_command(texts, tmp_path))
    assert main(_command(texts, tmp_path)) == 0
    weights = Path("model") / "model.safetensors"
    assert (tmp_path / weights).read_bytes() == (unbroken / weights).read_bytes()
    assert _log(tmp_path) == _log(unbroken)


@pytest.mark.slow
def test_compiled_training_on_two_threads_resumes_bit_for_bit(texts: Path, tmp_path: Path) -> None:
    # Large enough for both threads to add to the same rows of the embedding's gradient.
    changes = {"compile": "true", "threads": 2, "hidden": 128, "batch_tokens": 8192}
    changes |= {"context": 256, "lengths": "256", "cooldown_lengths": "256"}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main(_command(texts, whole, **changes)) == 0
    assert main(_command(texts, parts, **changes, cooldown_steps=4)) == 0
    # The stable checkpoint is at step 6, so only the cool-down is done again, after a reload.
    assert main(_command(texts, parts, "--extend", **changes)) == 0
    weights = Path("model") / "model.safetensors"
    assert (parts / weights).read_bytes() == (whole / weights).read_bytes()


def test_the_exported_model_loads_plainly(unbroken: Path) -> None:
    folder = unbroken / "model"
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.bfloat16
    assert model.config.nano_version == "1"
    assert model.config.tie_word_embeddings
    tokenizer = AutoTokenizer.from_pretrained(folder)
    composed = "Giảng viên nhiệt tình, dễ hiểu! It 's fine — 2024.\nSentiment: tích cực"
    ids = tokenizer(unicodedata.normalize("NFD", composed)).input_ids
    assert ids[0] == tokenizer.bos_token_id == model.config.bos_token_id
    assert tokenizer.eos_token_id == model.config.eos_token_id != ids[-1]
    assert ids == tokenizer(composed).input_ids
    assert tokenizer.decode(ids[1:]) == composed
    assert tokenizer.pad_token_id == model.config.pad_token_id
    logits = model(input_ids=torch.tensor([ids])).logits
    assert logits.shape == (1, len(ids), len(tokenizer))
    assert "bits per byte" in (folder / "README.md").read_text(encoding="utf-8")


def test_the_shipped_model_is_complete_and_small() -> None:
    folder = Path(softprompt.__file__).parent / "backbones" / "nano"
    assert (folder / "model.safetensors").stat().st_size <= 25_000_000
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.config.nano_version == "2"
    assert model.config.max_position_embeddings >= 1024
    # Knowing the language, it finds a sentence likelier than the same words in reverse.
    for sentence in ("the book was on the table in the room", "Hà Nội là thủ đô của Việt Nam"):
        losses: list[float] = []
        for words in (sentence.split(), sentence.split()[::-1]):
            ids = tokenizer(" ".join(words), return_tensors="pt").input_ids
            losses.append(model(input_ids=ids, labels=ids).loss.item())
        assert losses[0] < losses[1] - 0.5


def test_a_run_finishes_early_and_goes_on_later(texts: Path, tmp_path: Path) -> None:
    command = _command(texts, tmp_path, steps=6)
    assert main(command) == 0
    stable = (tmp_path / "checkpoints" / "stable.safetensors").read_bytes()
    assert main([*command, "--extend", "--set=steps=12"]) == 0
    assert _log(tmp_path)[-1]["step"] == 12
    assert (tmp_path / "checkpoints" / "stable.safetensors").read_bytes() != stable
    assert main([*command, "--extend", "--cooldown-now", "--set=cooldown_steps=2"]) == 0
    assert _log(tmp_path)[-1]["step"] == 9


def test_a_run_begins_with_the_weights_of_another_and_says_so(
    texts: Path, unbroken: Path, tmp_path: Path
) -> None:
    start = unbroken / "model"
    command = _command(texts, tmp_path, steps=2, version=7, read_from=0.5)
    assert main([*command, f"--start-from={start}"]) == 0
    first, second = (_log(folder)[0]["loss"] for folder in (unbroken, tmp_path))
    assert second < first
    config = AutoModelForCausalLM.from_pretrained(tmp_path / "model").config
    before = AutoModelForCausalLM.from_pretrained(start).config
    assert config.nano_version == "7"
    assert config.nano_tokens == before.nano_tokens + 2 * 128
    assert "| begun with | version 1, " in (tmp_path / "model" / "README.md").read_text()
    same = (tmp_path / "tokenizer" / "tokenizer.json").read_bytes()
    assert same == (start / "tokenizer.json").read_bytes()
    other = _command(texts, tmp_path / "other", hidden=64)
    assert main([*other, f"--start-from={start}"]) == 2


def test_a_changed_text_is_refused_and_a_new_label_is_not(
    texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(texts, tmp_path / "texts")
    command = _command(tmp_path / "texts", tmp_path / "run", steps=4)
    assert main(command) == 0
    _write_text(tmp_path / "texts" / "new.txt", ENGLISH, 3)
    more = ["--text", f"new={tmp_path / 'texts' / 'new.txt'}", "--extend", "--set=steps=5"]
    assert main([*command, *more]) == 0
    assert "| new |" in (tmp_path / "run" / "model" / "README.md").read_text(encoding="utf-8")
    _write_text(tmp_path / "texts" / "en.txt", ENGLISH + " again", 4)
    assert main([*command, *more]) == 2
    assert "use the text and longest length of the checkpoint" in capsys.readouterr().err


def test_every_token_of_a_source_is_read_once_per_pass() -> None:
    source = Source(np.arange(64 * 8, dtype=np.uint16), longest=8)
    first = np.concatenate([source.take(4) for _ in range(64 * 2)])
    assert sorted(first.tolist()) == list(range(64 * 8))
    assert source.take(4).tolist() == [0, 1, 2, 3]


def test_the_learning_rate_warms_up_stays_and_falls_to_zero() -> None:
    settings = Settings(warmup_steps=4)
    rates = [scale(Progress(step=step), settings) for step in range(6)]
    assert rates == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    falling = [scale(Progress(step=s, cooldown_start=6, cooldown_end=10), settings) for s in (6, 7)]
    assert falling == [1.0, 0.5]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--set=hiden=3"], "unknown key 'hiden'; the nearest is 'hidden'"),
        (["--set=layers=two"], "--set layers received 'two'; it takes a value of type int"),
        (["--set=heads=3"], "hidden=32 and heads=3"),
        (["--set=mix=fr:1"], "mix names 'fr'; the text labels are en, vi"),
        (["--text", "en"], "--text received 'en'; write LABEL=FILE"),
        (["--text", "fr=missing.txt"], "no text file at missing.txt"),
    ],
)
def test_a_mistake_is_one_line(
    more: list[str], message: str, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(_command(texts, tmp_path, *more)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
