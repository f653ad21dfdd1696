"""A process of its own that trains what it is sent."""

import json
import subprocess
import sys
from dataclasses import asdict, replace

from mmgraph.study import Place, Trial
from mmgraph.study.trial import Event, run_trial, stored_run


def test_a_worker_serves_until_its_input_ends_and_trains_as_this_process_does(trial: Trial) -> None:
    bad = replace(trial, values={**trial.values, "model": {"name": "lightgnc"}})
    here = replace(trial, path=trial.path.with_name("here"))
    lines = [
        json.dumps({"trial": t.to_json(), "place": asdict(Place(threads=1))}) for t in (bad, trial)
    ]
    answer = subprocess.run(
        [sys.executable, "-m", "mmgraph.study.worker"],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=True,
    )
    events = [Event(**json.loads(line)) for line in answer.stdout.splitlines()]
    assert events[0].kind == "failed"
    assert "did you mean 'lightgcn'" in events[0].text
    assert events[-1].kind == "done"
    run_trial(here, lambda event: None, place=Place())
    for name in ("metrics.json", "metrics.jsonl", "model.safetensors"):
        assert (trial.path / name).read_bytes() == (here.path / name).read_bytes()
    assert stored_run(trial) is not None
