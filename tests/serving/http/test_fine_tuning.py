"""OpenAI's client uploads a file and makes a prompt of it, on a tiny model, in a real process."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from serving.http.running import BASE, Running, running
from tiny import feedback_rows, save_tiny

from softprompt.backbones import load_backbone
from softprompt.serving import Engine
from softprompt.serving.jobs import JobLimits, Jobs, Viewer
from softprompt.serving.registry import Registry

ALL = Viewer()
SETTINGS: dict[str, Any] = {"population": 1, "length": 4, "ensemble": "off"}


def chats(count: int = 60) -> bytes:
    """Rows as OpenAI has them."""
    lines = []
    for row in feedback_rows(count):
        messages = [
            {"role": "user", "content": row["text"]},
            {"role": "assistant", "content": row["label"]},
        ]
        lines.append(json.dumps({"messages": messages}, ensure_ascii=False))
    return "\n".join(lines).encode()


def table(count: int = 60) -> bytes:
    """Rows of a table whose columns say nothing of what they are."""
    rows = [f"{row['text']};{int(row['label'] == 'good')}" for row in feedback_rows(count)]
    return "\n".join(["a;b", *rows]).encode()


@pytest.fixture(scope="module")
def tuning(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server whose jobs train a tiny model that lies in a folder."""
    folder = tmp_path_factory.mktemp("tuning")
    model = save_tiny(folder / "model")
    backbone = load_backbone(str(model), dtype="fp32", device="cpu")
    with (
        Registry(folder / "prompts", backbone=backbone) as registry,
        Jobs(
            folder / "tuning",
            registry,
            model=str(model),
            called=BASE,
            backbone={"dtype": "fp32", "device": "cpu"},
            limits=JobLimits(at_once=1, threads=1, grace_seconds=300),
        ) as jobs,
        Engine(backbone, registry) as engine,
        running(engine, registry, jobs=jobs) as server,
    ):
        yield server


@pytest.fixture(scope="module")
def client(tuning: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{tuning.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether something becomes true within what a loaded machine may take to start processes."""
    end = time.monotonic() + 300
    while not holds() and time.monotonic() < end:
        time.sleep(0.2)
    return holds()


def ended(client: openai.OpenAI, job_id: str) -> Any:
    """The job at its end."""
    final = ("succeeded", "failed", "cancelled")
    assert eventually(lambda: client.fine_tuning.jobs.retrieve(job_id).status in final)
    return client.fine_tuning.jobs.retrieve(job_id)


def test_a_person_without_a_script_makes_a_prompt(client: openai.OpenAI, tuning: Running) -> None:
    train = client.files.create(file=("train.jsonl", chats()), purpose="fine-tune")
    check = client.files.create(file=("check.jsonl", chats(24)), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(
        model=BASE,
        training_file=train.id,
        validation_file=check.id,
        suffix="my feedback",
        method={
            "type": "supervised",
            "supervised": {"hyperparameters": {"n_epochs": 3, "batch_size": 8, **SETTINGS}},  # type: ignore[typeddict-item]
        },
        metadata={"team": "shop"},
        seed=7,
    )
    assert (job.status, job.fine_tuned_model, job.seed) == ("queued", None, 7)
    assert (job.training_file, job.validation_file) == (train.id, check.id)
    with pytest.raises(openai.ConflictError, match="needs the file"):
        client.files.delete(train.id)
    done = ended(client, job.id)
    assert done.status == "succeeded", done.error
    assert done.fine_tuned_model == "my-feedback@1"
    assert (done.hyperparameters.n_epochs, done.error) == (3, None)
    assert "my-feedback" in [model.id for model in client.models.list()]
    found = client.chat.completions.create(
        model=done.fine_tuned_model, messages=[{"role": "user", "content": "the late parcel"}]
    )
    assert found.choices[0].message.content in ("good", "bad")
    events = list(client.fine_tuning.jobs.list_events(job.id, limit=3))
    assert events[0].message == "The job is done."
    measured = [event for event in events if event.id.rpartition("-")[2].isdigit() and event.data]
    assert [event.data["step"] for event in measured] == [21, 14, 7, 0]  # type: ignore[index]
    assert all(event.type == "metrics" for event in measured)
    data: Any = measured[0].data
    assert data["train_loss"] > 0
    assert 0 <= data["valid_accuracy"] <= 1
    assert any("rows to train on, 24 to validate" in event.message for event in events)
    assert list(client.fine_tuning.jobs.checkpoints.list(job.id)) == []
    assert client.files.delete(train.id).deleted
    registry = tuning.service.catalog.registry
    published = registry.path(registry.resolve("my-feedback"))
    for file in published.iterdir():
        assert str(registry.folder.parent).encode() not in file.read_bytes(), "no path is told"
    described = json.loads((published / "prompt.json").read_text())
    config = described["config"]
    assert (config["data"], config["task"]["validation"]) == (
        f"{train.id}.jsonl",
        f"{check.id}.jsonl",
    )
    assert config["backbone"]["model"] == described["backbone"]["name"] == BASE


@pytest.mark.slow
def test_a_table_needs_its_columns_named(client: openai.OpenAI) -> None:
    file = client.files.create(file=("table.csv", table()), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(
        model=BASE,
        training_file=file.id,
        suffix="bảng",
        hyperparameters={"n_epochs": 1, **SETTINGS},  # type: ignore[typeddict-item]
        extra_body={
            "task": {
                "template": "{a}\nVerdict: {answer}",
                "target": "b",
                "choices": {"0": "bad", "1": "good"},
            }
        },
    )
    done = ended(client, job.id)
    assert done.status == "succeeded", done.error
    assert done.fine_tuned_model == "bảng@1"
    found = client.completions.create(model="bảng", prompt="the late parcel")
    assert found.choices[0].text in ("0", "1")


def test_what_the_training_refuses_is_told_in_its_sentence(client: openai.OpenAI) -> None:
    content = chats(3) + b'\n{"messages": "no list"}\n'
    file = client.files.create(file=("odd.jsonl", content), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(model=BASE, training_file=file.id)
    done = ended(client, job.id)
    assert done.status == "failed"
    assert done.error.code == "training_refused"
    assert done.error.message.startswith(f"{file.id}.jsonl")
    assert "/" not in done.error.message
    [event] = list(client.fine_tuning.jobs.list_events(job.id, limit=1).data)
    assert (event.level, event.message) == ("error", done.error.message)


@pytest.mark.slow
def test_a_cancelled_job_goes_on_where_it_was(client: openai.OpenAI, tuning: Running) -> None:
    file = client.files.create(file=("rows.jsonl", chats()), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(
        model=BASE,
        training_file=file.id,
        suffix="long",
        hyperparameters={"n_epochs": 300, "patience": 300, **SETTINGS},  # type: ignore[typeddict-item]
    )
    with pytest.raises(openai.ConflictError, match="cannot be resumed"):
        client.fine_tuning.jobs.resume(job.id)
    jobs = tuning.service.jobs
    assert jobs is not None

    def records() -> int:
        return len(jobs.run(jobs.get(job.id, ALL)).records)

    assert eventually(lambda: records() > 0)
    assert client.fine_tuning.jobs.retrieve(job.id).status == "running"
    assert client.fine_tuning.jobs.cancel(job.id).status == "running"
    assert ended(client, job.id).status == "cancelled"
    kept = jobs.run(jobs.get(job.id, ALL))
    assert kept.interrupted
    assert kept.result is not None
    assert 0 < kept.result["steps"] < kept.steps  # type: ignore[operator]
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("long")
    client.fine_tuning.jobs.resume(job.id)
    done = ended(client, job.id)
    assert (done.status, done.fine_tuned_model) == ("succeeded", "long@1"), done.error
    run = jobs.run(jobs.get(job.id, ALL))
    assert run.result is not None
    assert run.result["steps"] == run.steps == kept.steps
    told = [event.message for event in client.fine_tuning.jobs.list_events(job.id, limit=100)]
    assert "The training goes on." in told
