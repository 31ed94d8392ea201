"""Stands in for `softprompt tune` in tests of supervision: does what the rows of its data say.

The first row is {"do": ..., ...}. It takes the command line of `tune`, writes the same files, and
needs no more than the standard library.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

PLAN = {
    "steps": 8,
    "steps_per_epoch": 4,
    "rows": {"train": 50, "validation": 5, "test": 5},
    "dropped": {"train": 0, "validation": 0},
    "candidates": [{}],
    "estimate_seconds": 2.0,
    "metric": "accuracy",
}
RESULT = {
    "stopped": "finished",
    "warnings": ["The label 'bad' has no test rows."],
    "metric": "accuracy",
    "test": {"n": 5, "accuracy": 0.8},
    "baselines": {"majority": {"n": 5, "accuracy": 0.6}},
}
asked: list[int] = []


def write(path: Path, value: object) -> None:
    """In one step: tests read the file, and may kill this process, at any moment."""
    fresh = path.with_suffix(".fresh")
    fresh.write_text(json.dumps(value))
    fresh.replace(path)


def end(stopped: str, run: Path) -> int:
    result = {**RESULT, "stopped": stopped}
    write(run / "result.json", result)
    print(json.dumps(result))
    return 0


def refuse(message: str, code: int = 2) -> int:
    print(json.dumps({"error": {"message": message, "hint": "Look again."}}))
    return code


def main(words: list[str]) -> int:
    resumed = "--resume" in words
    run = Path(words[words.index("--resume" if resumed else "--output") + 1])
    if resumed:
        what: dict[str, Any] = json.loads((run / "config.json").read_text())
        what = {**what, "do": what.get("then", what["do"])}
    else:
        what = json.loads(Path(words[1]).read_text().splitlines()[0])
    if what["do"] == "refuse":
        return refuse(f"{words[1]}: line 3 is not JSON.")
    if what["do"] == "crash":
        raise RuntimeError(f"a defect at {run}")
    if what["do"] == "allocate":
        try:
            bytearray(what["bytes"])
        except MemoryError:
            return refuse("There is not enough memory.")
    if what["do"] in ("wait", "deaf", "die"):
        signal.signal(signal.SIGINT, lambda number, _: asked.append(number))
    run.mkdir(exist_ok=True)
    write(
        run / "seen.json",
        {
            "words": words,
            "nice": os.nice(0),
            "threads": os.environ["OMP_NUM_THREADS"],
            "language": os.environ["SOFTPROMPT_LANG"],
            "memory": resource.getrlimit(resource.RLIMIT_DATA)[0],
            "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
            "pid": os.getpid(),
        },
    )
    write(run / "plan.json", PLAN)
    record = {"kind": "validation", "step": 4, "loss": 0.5, "score": 0.7, "accuracy": 0.7}
    with (run / "metrics.jsonl").open("a") as metrics:
        metrics.write(json.dumps({**record, "best": True, "seconds": 0.5}) + "\n")
        metrics.write('{"kind": "validation", "st')
    # Tests take a run that has its configuration for one that has written all of the above.
    write(run / "config.json", what)
    if what["do"] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    while what["do"] == "deaf" or (what["do"] == "wait" and not asked):
        time.sleep(0.01)
    if what["do"] == "wait":
        return end("interrupted", run)
    if "prompt" in what:
        shutil.copytree(what["prompt"], run / "prompt", dirs_exist_ok=True)
    return end("finished", run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
