import json

import torch

from mmgraph import __version__
from mmgraph.export import environment


def test_it_names_what_a_result_was_made_with():
    found = environment()
    assert found["packages"]["torch"] == torch.__version__
    assert found["packages"]["mmgraph"] == __version__
    assert found["threads"] == torch.get_num_threads()
    json.dumps(found)


def test_a_missing_package_is_none(monkeypatch):
    monkeypatch.setattr("mmgraph.export.machine._PACKAGES", ("no-such-package",))
    assert environment()["packages"] == {"no-such-package": None}
