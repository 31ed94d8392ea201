"""What jobs leave behind has bounds."""

from __future__ import annotations

from pathlib import Path

import pytest
from serving.jobs.bench import ALL, Bench, begin, reaches, trains, upload
from serving.jobs.test_jobs import ANNA, BELA

from softprompt.errors import OverloadedError, UsageError
from softprompt.serving.jobs import Job, Order, UnknownItemError


def saved(bench: Bench, job: Job) -> Path:
    """The saved state of a job that was put there."""
    return bench.folder / "tuning" / "jobs" / job.id / "run" / "checkpoints"


def test_jobs_that_ended_without_a_prompt_make_room(bench: Bench) -> None:
    jobs = bench.start(resumable_each=1, ended_each=2)
    kept = reaches(jobs, begin(jobs, "refuse", BELA), "failed")
    ended = []
    for _ in range(3):
        job = reaches(jobs, begin(jobs, "refuse", ANNA), "failed")
        saved(bench, job).mkdir(parents=True)
        ended.append(job)
    last = reaches(jobs, begin(jobs, "refuse", ANNA), "failed")
    assert [job.id for job in jobs.all(ANNA)] == [job.id for job in (last, *ended[:0:-1])]
    with pytest.raises(UnknownItemError):
        jobs.get(ended[0].id, ALL)
    assert not saved(bench, ended[0]).parent.parent.exists()
    assert [saved(bench, job).exists() for job in ended[1:]] == [False, True]
    assert jobs.get(kept.id, BELA).id == kept.id
    jobs.close()
    assert len(bench.start().all(ALL)) == 4


def test_a_prompt_keeps_its_job(bench: Bench) -> None:
    jobs = bench.start(resumable_each=1, ended_each=1)
    done = reaches(jobs, begin(jobs, "finish", prompt=bench.artifact(), suffix="a"), "succeeded")
    for _ in range(3):
        reaches(jobs, begin(jobs, "refuse"), "failed")
    # By its job a name is known to be its owner's.
    assert jobs.get(done.id, ALL).published is not None
    again = begin(jobs, "finish", prompt=bench.artifact("other", seed=3), suffix="a")
    assert reaches(jobs, again, "succeeded", "failed").published is not None


def test_paused_jobs_are_limited_and_can_go_on(bench: Bench) -> None:
    jobs = bench.start(waiting_each=2)
    trains(jobs, begin(jobs, "wait"))
    paused = [jobs.pause(begin(jobs, "wait").id, ALL) for _ in range(2)]
    with pytest.raises(OverloadedError, match="2 jobs are waiting or paused"):
        begin(jobs, "wait")
    assert jobs.resume(paused[0].id, ALL).status == "queued"


def test_a_job_that_cannot_be_written_leaves_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = bench.start()
    file = upload(jobs, "wait")

    def full(*_: object) -> None:
        raise UsageError("Cannot write: the disk is full.")

    monkeypatch.setattr("softprompt.serving.jobs.job_files.JobFiles.save", full)
    with pytest.raises(UsageError, match="full"):
        jobs.create(Order("base", file.id), ALL)
    monkeypatch.undo()
    assert list((bench.folder / "tuning" / "jobs").iterdir()) == []


def test_names_that_look_the_same_are_refused_before_training(bench: Bench) -> None:
    jobs = bench.start()
    bench.registry.publish("theirs", bench.artifact())
    begin(jobs, "wait", ANNA, suffix="mine")
    for suffix in ("Theirs", "MINE"):
        with pytest.raises(UsageError, match="differs from a taken one"):
            begin(jobs, "wait", BELA, suffix=suffix)
    with pytest.raises(UsageError, match="base model's name"):
        begin(jobs, "wait", suffix="Base")
