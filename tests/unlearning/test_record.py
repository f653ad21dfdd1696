"""What an unlearned run says about where it came from."""

import hashlib
import json
from collections.abc import Callable

from mmgraph.run import Run
from mmgraph.unlearning.record import origin_of
from mmgraph.unlearning.request import read_request
from mmgraph.unlearning.retain import divide


def test_hashes_tell_whoever_has_the_run_and_the_request(trained: Callable[..., Run]) -> None:
    run = trained()
    data = run.dataset
    some = [data.users[3], data.users[1]]
    found, again, other = (
        origin_of(run, divide(data, read_request(data, users=users)))
        for users in (some, some[::-1], some[:1])
    )
    assert found == again
    assert found["request_sha256"] != other["request_sha256"]
    assert found["run_sha256"] == hashlib.sha256((run.path / "run.json").read_bytes()).hexdigest()
    asked = {
        "weights": run.folder.facts()["files"]["model.safetensors"],
        "users": sorted(some),
        "items": [],
        "interactions": [],
    }
    text = json.dumps(asked, separators=(",", ":"))
    assert found["request_sha256"] == hashlib.sha256(text.encode()).hexdigest()
