"""`softprompt serve`, `softprompt ask` and `softprompt keys` as processes of their own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest

import softprompt
from cli.conftest import Shell
from softprompt.cli.commands.serve import _address
from softprompt.serving.jobs.job_files import JobFiles
from softprompt.serving.keys import Keys

SOURCE = Path(softprompt.__file__).parents[1]


@dataclass
class Served:
    """A server in a process of its own."""

    process: subprocess.Popen[str]
    url: str
    said: list[str]


@contextmanager
def serving(*words: object) -> Iterator[Served]:
    command = [sys.executable, "-m", "softprompt", "serve", *map(str, words), "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "SOFTPROMPT_LANG": "en"}
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)
    said: list[str] = []
    try:
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line.strip())
            if found := re.search(r"http://\S+", line):
                yield Served(process, found[0], said)
                break
        else:
            raise AssertionError("\n".join(said))
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def prompts(trained: Path, tmp_path: Path) -> Path:
    """A folder with one prompt that fits and one that does not."""
    folder = tmp_path / "prompts"
    shutil.copytree(trained / "prompt", folder / "reviews")
    shutil.copytree(trained / "prompt", folder / "broken")
    (folder / "broken" / "prompt.safetensors").write_bytes(b"")
    return folder


def test_a_folder_is_served_asked_and_stopped(
    shell: Shell, prompts: Path, tiny_folder: Path, trained: Path
) -> None:
    with serving(prompts, "--model", tiny_folder, "--dtype", "fp32") as served:
        assert any("broken" in line and "not served" in line for line in served.said)
        assert re.search(r"^tiny with 1 prompt at ", served.said[-1])
        asked = shell("ask", served.url, "reviews", "the late parcel", "nhanh", "--json").value
        wanted = shell("predict", trained, "the late parcel", "nhanh", "--json").value
        for one, other in zip(asked["answers"], wanted["predictions"], strict=True):
            assert one["answer"] == other["answer"]
            assert one["prompt"] == "reviews@1"
            assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-4)
        ended = shell("ask", served.url, "reviews", "the late parcel")
        assert re.fullmatch(r"(good|bad)\t\d+\.\d%\n", ended.out)
        ended = shell("ask", served.url, "tiny", "the late parcel", "--max-tokens", 3)
        assert ended.code == 0
        told = shell.mistake("ask", served.url, "review", "x")
        assert "Did you mean 'reviews'" in told
        served.process.send_signal(signal.SIGTERM)
        out, err = served.process.communicate(timeout=60)
    assert served.process.returncode == 0, err
    assert "Traceback" not in err
    lines = out.splitlines()
    assert lines[-1] == "Stopped after 4 answers."
    log = [json.loads(line) for line in lines[:-1]]
    assert [line["path"] for line in log] == ["/v1/tasks"] * 6
    assert "late parcel" not in out


def test_a_server_with_keys(
    shell: Shell, prompts: Path, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys.json"
    made = shell("keys", "add", "ci", "--keys", file, "--json").value
    with serving(prompts, "--model", tiny_folder, "--keys", file, "--host", "0.0.0.0") as served:
        port = served.url.rpartition(":")[2]
        assert "A key is needed" in shell.mistake("ask", port, "reviews", "x")
        monkeypatch.setenv("SOFTPROMPT_KEY", made["key"])
        assert shell("ask", port, "reviews", "x").code == 0


def test_keys_are_made_listed_and_revoked(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    assert "no key yet" in shell("keys", "list", "--keys", file).out
    words = ["--scopes", "infer,admin", "--prompts", "a, b-*", "--per-minute", 30]
    ended = shell("keys", "add", "team", "--keys", file, *words)
    text, note = ended.out.splitlines()[:2]
    key = Keys(file).find(text)
    assert key is not None
    assert "only time" in note
    assert (key.scopes, key.prompts, key.per_minute) == (("infer", "admin"), ("a", "b-*"), 30)
    listed: dict[str, Any] = shell("keys", "list", "--keys", file, "--json").value
    assert [one["name"] for one in listed["keys"]] == ["team"]
    assert "digest" not in listed["keys"][0]
    page = shell("keys", "list", "--keys", file).out
    assert key.id in page
    assert text not in page
    assert shell("keys", "revoke", key.id, "--keys", file).code == 0
    assert Keys(file).find(text) is None
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [(line["action"], line["stage"]) for line in lines] == [
        ("add key", "begun"),
        ("add key", "done"),
        ("revoke key", "begun"),
        ("revoke key", "done"),
    ]
    assert text not in (tmp_path / "audit.jsonl").read_text()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["make", "x"], "Unknown action 'make'"),
        (["add"], "`add` needs a name"),
        (["list", "x"], "`list` neither"),
        (["add", "x", "--scopes", "root"], "There is no scope 'root'"),
        (["add", "x", "--scopes", ""], "scopes"),
        (["add", "x", "--per-minute", "0"], "per_minute"),
        (["revoke", "x"], "There is no key 'x'"),
    ],
)
def test_keys_that_cannot_be(shell: Shell, words: list[str], told: str, tmp_path: Path) -> None:
    assert told in shell.mistake("keys", *words, "--keys", tmp_path / "keys.json")


def test_what_cannot_be_served_is_told_before_the_model_is_loaded(
    shell: Shell, tmp_path: Path
) -> None:
    nothing = tmp_path / "no-model"
    words = ["serve", tmp_path, "--model", nothing]
    told = shell.mistake(*words, "--host", "0.0.0.0")
    assert "can be reached from other machines" in told
    assert "There is no key in" in shell.mistake(*words, "--keys", tmp_path / "keys.json")
    assert "deadline" in shell.mistake(*words, "--deadline", 0)
    assert "drain_seconds" in shell.mistake(*words, "--drain", -1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"Cannot listen at 127.0.0.1:{port}" in shell.mistake(*words, "--port", port)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:9"),
        ("::1", "http://[::1]:9"),
        ("[::1]", "http://[::1]:9"),
        ("box.example", "http://box.example:9"),
    ],
)
def test_the_address_that_is_told_can_be_asked(host: str, address: str) -> None:
    assert _address(host, 9) == address


def test_nobody_answers(shell: Shell) -> None:
    assert "No answer from http://127.0.0.1:1" in shell.mistake("ask", "1", "reviews", "x")


def test_clients_tune_where_jobs_are_let_in(
    shell: Shell, tiny_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "tuning"
    words = ["--model", tiny_folder, "--jobs", folder, "--job-time", 600]
    with serving(tmp_path / "prompts", *words) as served:
        with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none") as client:
            rows = b"a,b\n" + b"x,y\n" * 3
            file = client.files.create(file=("a.csv", rows), purpose="fine-tune")
            job = client.fine_tuning.jobs.create(model="tiny", training_file=file.id)
            assert job.status == "queued"
        told = shell.mistake("serve", tmp_path / "prompts", *words, "--port", 0)
        assert "Another server works on the jobs" in told
        served.process.send_signal(signal.SIGTERM)
        _, err = served.process.communicate(timeout=60)
    assert served.process.returncode == 0, err
    record = json.loads((folder / "jobs" / job.id / "job.json").read_text())
    assert record["order"]["training_file"] == file.id
    start = json.loads((folder / "jobs" / job.id / "start.json").read_text())
    assert start["seconds"] == 600
    JobFiles(folder / "jobs" / job.id).ask_to_stop("cancel")
    told = shell.mistake("serve", tmp_path / "prompts", "--job-time", 5, "--port", 0)
    assert "--job-time needs --jobs" in told
