"""The queue, the limits of processes, stopping, going on, and what a restart finds."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from serving.http.running import eventually
from serving.jobs.bench import ALL, Bench, begin, reaches, trains, upload

from softprompt.errors import OverloadedError, UnknownPromptError, UsageError
from softprompt.serving.jobs import (
    ItemStateError,
    Job,
    Jobs,
    Order,
    UnknownItemError,
    Viewer,
)
from softprompt.serving.jobs.job_files import JobFiles

ANNA, BELA = Viewer("aaaaaaaaaaaa", False), Viewer("bbbbbbbbbbbb", False)


def folder_of(bench: Bench, job: Job) -> Path:
    return bench.folder / "tuning" / "jobs" / job.id


def keeper_of(bench: Bench, job: Job) -> int:
    """The process that looks after the one of a job."""
    stat = Path(f"/proc/{bench.seen(job)['pid']}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[1])


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has buried yet does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def test_a_job_becomes_a_prompt(bench: Bench) -> None:
    jobs = bench.start(threads=3, nice=11, memory_bytes=5 << 30)
    job = begin(
        jobs, "finish", prompt=bench.artifact(), suffix="my reviews", hyperparameters={"length": 4}
    )
    done = reaches(jobs, job, "succeeded", "failed")
    assert done.published is not None, done
    assert done.published.label == "my-reviews@1"
    assert bench.registry.resolve("my-reviews").key == done.published.key
    seen = bench.seen(job)
    assert (seen["nice"], seen["threads"], seen["memory"]) == (
        min(19, os.nice(0) + 11),
        "3",
        5 << 30,
    )
    assert (seen["core"], seen["language"]) == (0, "en")
    assert seen["words"][0] == "tune"
    lines = [json.loads(line) for line in (bench.folder / "audit.jsonl").read_text().splitlines()]
    assert [(line["action"], line["stage"]) for line in lines] == [
        ("publish", "begun"),
        ("publish", "done"),
    ]
    again = begin(jobs, "finish", prompt=bench.artifact("other", seed=3), suffix="my reviews")
    published = reaches(jobs, again, "succeeded", "failed").published
    assert published is not None
    assert published.label == "my-reviews@2"


def test_events_tell_the_story(bench: Bench) -> None:
    jobs = bench.start()
    job = reaches(jobs, begin(jobs, "finish", prompt=bench.artifact()), "succeeded")
    events = jobs.events(job)
    assert len({event.id for event in events}) == len(events)
    assert [event.id for event in jobs.events(job)] == [event.id for event in events]
    told = [event.message for event in events]
    assert told[0] == "The job is in the queue."
    assert told[-2:] == [
        "The job succeeded; its prompt answers as " + told[-2][41:],
        "The job is done.",
    ]
    data = next(event.data for event in events if event.id.endswith("-step-4"))
    assert data == {
        "step": 4, "total_steps": 8, "train_loss": 0.5, "score": 0.7, "best": True,
        "valid_accuracy": 0.7,
    }  # fmt: skip
    assert "On 5 test rows, accuracy: prompt 0.8000, majority 0.6000." in told
    assert [event.message for event in events if event.level == "warn"] == [
        "The label 'bad' has no test rows."
    ]


def test_jobs_wait_for_their_turn(bench: Bench) -> None:
    jobs = bench.start(at_once=1)
    first = trains(jobs, begin(jobs, "wait"))
    second, third = begin(jobs, "wait"), begin(jobs, "wait")
    assert {jobs.get(job.id, ALL).status for job in (second, third)} == {"queued"}
    jobs.cancel(first.id, ALL)
    reaches(jobs, first, "cancelled")
    trains(jobs, second)
    assert jobs.get(third.id, ALL).status == "queued"


def test_as_many_train_at_once_as_are_let(bench: Bench) -> None:
    jobs = bench.start(at_once=2)
    for job in [begin(jobs, "wait"), begin(jobs, "wait")]:
        trains(jobs, job)


def test_the_queue_has_an_end(bench: Bench) -> None:
    jobs = bench.start(waiting=2, waiting_each=1)
    trains(jobs, begin(jobs, "wait"))
    begin(jobs, "wait", ANNA)
    with pytest.raises(OverloadedError, match="1 jobs are waiting"):
        begin(jobs, "wait", ANNA)
    begin(jobs, "wait", BELA)
    with pytest.raises(OverloadedError, match="2 jobs are waiting"):
        begin(jobs, "wait")


def test_cancelling_lets_a_process_save_its_state(bench: Bench) -> None:
    jobs = bench.start()
    job = trains(jobs, begin(jobs, "wait", then="finish", prompt=bench.artifact()))
    assert jobs.cancel(job.id, ALL).stopping == "cancel"
    ended = reaches(jobs, job, "cancelled")
    assert ended.finished is not None
    result = json.loads((folder_of(bench, job) / "run" / "result.json").read_text())
    assert result["stopped"] == "interrupted"
    assert list(bench.registry.names()) == []
    with pytest.raises(ItemStateError, match="cancelled already"):
        jobs.cancel(job.id, ALL)
    jobs.resume(job.id, ALL)
    assert reaches(jobs, job, "succeeded", "failed").published is not None
    assert "--resume" in bench.seen(job)["words"]


def test_a_process_that_does_not_listen_is_ended(bench: Bench) -> None:
    jobs = bench.start(grace_seconds=0)
    job = trains(jobs, begin(jobs, "deaf"))
    pid = bench.seen(job)["pid"]
    jobs.cancel(job.id, ALL)
    reaches(jobs, job, "cancelled")
    assert not alive(pid)


def test_waiting_jobs_are_cancelled_at_once(bench: Bench) -> None:
    jobs = bench.start()
    trains(jobs, begin(jobs, "wait"))
    waiting = begin(jobs, "wait")
    assert jobs.cancel(waiting.id, ALL).status == "cancelled"


def test_a_job_pauses_and_goes_on(bench: Bench) -> None:
    jobs = bench.start()
    job = trains(jobs, begin(jobs, "wait", then="finish", prompt=bench.artifact()))
    with pytest.raises(ItemStateError, match="cannot be resumed"):
        jobs.resume(job.id, ALL)
    jobs.pause(job.id, ALL)
    reaches(jobs, job, "paused")
    jobs.resume(job.id, ALL)
    reaches(jobs, job, "succeeded")


def test_time_is_limited(bench: Bench) -> None:
    jobs = bench.start(seconds=0.5)
    job = begin(jobs, "wait", then="finish", prompt=bench.artifact())
    ended = reaches(jobs, job, "failed")
    assert ended.failure is not None
    assert ended.failure.code == "time_limit"
    # On a busy machine the process may take longer than that to begin.
    jobs.close()
    jobs = bench.start()
    jobs.resume(job.id, ALL)
    reaches(jobs, job, "succeeded")


@pytest.mark.parametrize(
    ("do", "row", "code", "told"),
    [
        ("refuse", {}, "training_refused", "line 3 is not JSON. Look again."),
        ("crash", {}, "training_failed", "The training process failed"),
        ("allocate", {"bytes": 200 << 20}, "training_refused", "not enough memory"),
        ("die", {}, "out_of_memory", "needed more memory"),
    ],
)
def test_a_failure_is_one_sentence(
    bench: Bench, do: str, row: dict[str, int], code: str, told: str
) -> None:
    jobs = bench.start(memory_bytes=100 << 20)
    failure = reaches(jobs, begin(jobs, do, **row), "failed", "succeeded").failure
    assert failure is not None
    assert failure.code == code
    assert told in failure.message
    assert "Traceback" not in failure.message
    assert "a defect" not in failure.message


def test_enough_memory_is_enough(bench: Bench) -> None:
    jobs = bench.start(memory_bytes=3 << 30)
    job = begin(jobs, "allocate", bytes=200 << 20, prompt=bench.artifact())
    reaches(jobs, job, "succeeded")


def test_a_prompt_of_another_backbone_is_not_published(bench: Bench) -> None:
    from tiny import tiny_backbone

    jobs = bench.start()
    job = begin(jobs, "finish", prompt=bench.artifact(backbone=tiny_backbone("gpt2")))
    failure = reaches(jobs, job, "failed", "succeeded").failure
    assert failure is not None
    assert failure.code == "not_published"
    assert list(bench.registry.names()) == []


def restart(bench: Bench, jobs: Jobs) -> Jobs:
    jobs.close()
    return bench.start()


def test_a_restart_finds_what_runs(bench: Bench) -> None:
    jobs = bench.start()
    job = trains(jobs, begin(jobs, "wait", then="finish", prompt=bench.artifact()))
    waiting = begin(jobs, "finish", prompt=bench.artifact())
    pid = bench.seen(job)["pid"]
    jobs = restart(bench, jobs)
    assert jobs.get(job.id, ALL).status == "running"
    assert bench.seen(job)["pid"] == pid
    jobs.cancel(job.id, ALL)
    reaches(jobs, job, "cancelled")
    reaches(jobs, waiting, "succeeded")


def test_a_restart_settles_what_has_ended(bench: Bench) -> None:
    jobs = bench.start()
    job = trains(jobs, begin(jobs, "wait"))
    jobs.close()
    files = JobFiles(folder_of(bench, job))
    files.ask_to_stop("pause")
    assert eventually(lambda: files.outcome() is not None)
    jobs = bench.start()
    failure = reaches(jobs, job, "failed").failure
    assert failure is not None
    assert failure.code == "training_failed"


def test_a_dead_keeper_takes_its_process_along(bench: Bench) -> None:
    jobs = bench.start()
    job = trains(jobs, begin(jobs, "wait", then="finish", prompt=bench.artifact()))
    pid = bench.seen(job)["pid"]
    os.kill(keeper_of(bench, job), signal.SIGKILL)
    failure = reaches(jobs, job, "failed").failure
    assert failure is not None
    assert failure.code == "interrupted"
    assert eventually(lambda: not alive(pid))
    jobs.resume(job.id, ALL)
    reaches(jobs, job, "succeeded")


def test_what_ended_with_the_server_goes_on_with_the_next(bench: Bench) -> None:
    jobs = bench.start()
    row = {"then": "wait", "prompt": bench.artifact()}
    job = trains(jobs, begin(jobs, "wait", **row))
    for attempt in range(4):
        keeper = keeper_of(bench, job)
        before = bench.seen(job)["pid"]
        jobs.close()
        os.kill(keeper, signal.SIGKILL)
        assert eventually(lambda before=before: not alive(before))
        jobs = bench.start()
        if attempt < 3:
            assert eventually(lambda before=before: bench.seen(job)["pid"] != before)
            trains(jobs, job)
    failure = reaches(jobs, job, "failed").failure
    assert failure is not None
    assert failure.code == "interrupted"


def test_a_machine_that_stops_lets_the_job_go_on(bench: Bench) -> None:
    jobs = bench.start()
    job = trains(jobs, begin(jobs, "wait", then="finish", prompt=bench.artifact()))
    os.kill(keeper_of(bench, job), signal.SIGTERM)
    assert reaches(jobs, job, "succeeded", "failed").status == "succeeded"


def test_a_prompt_is_published_once(bench: Bench) -> None:
    jobs = bench.start()
    job = reaches(jobs, begin(jobs, "finish", prompt=bench.artifact(), suffix="a"), "succeeded")
    jobs.close()
    record = folder_of(bench, job) / "job.json"
    value = json.loads(record.read_text())
    # As if the server had died between publishing and noting it.
    value |= {"status": "running", "published": None}
    record.write_text(json.dumps(value))
    jobs = bench.start()
    found = reaches(jobs, job, "succeeded", "failed")
    assert found.published is not None, found
    assert found.published.label == "a@1"
    assert len(bench.registry.history("a")) == 1


def test_two_servers_do_not_share_a_folder(bench: Bench) -> None:
    bench.start()
    with pytest.raises(UsageError, match="Another server works"):
        bench.start()


def test_names_belong_to_their_owners(bench: Bench) -> None:
    jobs = bench.start()
    bench.registry.publish("theirs", bench.artifact())
    with pytest.raises(UsageError, match="'theirs' is taken"):
        begin(jobs, "finish", suffix="theirs")
    with pytest.raises(UsageError, match="base model's name"):
        begin(jobs, "finish", suffix="base")
    with pytest.raises(UsageError, match="cannot be the name"):
        begin(jobs, "finish", suffix="../evil")
    begin(jobs, "wait", ANNA, suffix="mine")
    with pytest.raises(UsageError, match="'mine' is taken"):
        begin(jobs, "wait", BELA, suffix="mine")
    begin(jobs, "wait", ANNA, suffix="mine")


def test_a_name_that_was_taken_meanwhile_is_left_alone(bench: Bench) -> None:
    jobs = bench.start()
    job = trains(jobs, begin(jobs, "wait", then="finish", prompt=bench.artifact(), suffix="late"))
    jobs.pause(job.id, ALL)
    reaches(jobs, job, "paused")
    version = bench.registry.publish("late", bench.artifact("other", seed=2))
    with pytest.raises(UsageError, match="'late' is taken"):
        jobs.resume(job.id, ALL)
    assert bench.registry.resolve("late") == version


def test_what_is_asked_for_is_checked(bench: Bench) -> None:
    jobs = bench.start()
    file = upload(jobs, "finish")
    with pytest.raises(UnknownPromptError, match="cannot be tuned"):
        jobs.create(Order("other", file.id), ALL)
    with pytest.raises(UnknownItemError, match="no file 'file-0'"):
        jobs.create(Order("base", "file-0"), ALL)
    with pytest.raises(UnknownItemError, match="no file"):
        jobs.create(Order("base", file.id, validation_file="../x"), ALL)
    with pytest.raises(UsageError, match="Did you mean 'suffix'"):
        jobs.create(Order("base", file.id, hyperparameters={"placement": "sufix"}), ALL)
    assert jobs.all(ALL) == []


def test_keys_see_their_own_jobs(bench: Bench) -> None:
    jobs = bench.start()
    job = begin(jobs, "wait", ANNA)
    admin = Viewer(BELA.owner, True)
    assert jobs.get(job.id, ANNA).id == jobs.get(job.id, admin).id
    assert [one.id for one in jobs.all(admin)] == [job.id]
    assert jobs.all(BELA) == []
    for ask in (jobs.get, jobs.cancel, jobs.pause, jobs.resume):
        with pytest.raises(UnknownItemError, match="There is no job"):
            ask(job.id, BELA)


def test_files_in_use_stay(bench: Bench) -> None:
    jobs = bench.start()
    job = trains(jobs, begin(jobs, "wait"))
    [file] = jobs.files.all(ALL)
    with pytest.raises(ItemStateError, match=f"{job.id} needs the file") as refused:
        jobs.delete_file(file.id, ALL)
    assert refused.value.code == "file_in_use"
    jobs.cancel(job.id, ALL)
    reaches(jobs, job, "cancelled")
    jobs.delete_file(file.id, ALL)
    with pytest.raises(UnknownItemError, match="There is no file"):
        jobs.resume(job.id, ALL)


def test_a_damaged_record_harms_no_other(bench: Bench) -> None:
    jobs = bench.start()
    good = reaches(jobs, begin(jobs, "refuse"), "failed")
    bad = reaches(jobs, begin(jobs, "refuse"), "failed")
    jobs.close()
    (folder_of(bench, bad) / "job.json").write_text('{"id": ')
    jobs = bench.start()
    assert [job.id for job in jobs.all(ALL)] == [good.id]
