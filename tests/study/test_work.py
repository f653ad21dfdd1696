"""What a study begins with: checks before anything is trained, then only what is missing."""

import sys
from pathlib import Path

import pytest

from mmgraph.errors import ConfigError, MissingDependency
from mmgraph.study import StudyObserver
from mmgraph.study.plan import Study, setting_of
from mmgraph.study.work import do_missing, reason_of

KEYS = ["training.max_epochs=1", "model.embedding_dim=2"]


class Counter(StudyObserver):
    """Keeps what a study says of its trials at its beginning."""

    def __init__(self) -> None:
        self.begun: list[tuple[int, int]] = []

    def begins(self, total: int, complete: int) -> None:
        self.begun.append((total, complete))


def study(shop: Path, folder: Path, *keys: str, seeds: tuple[int, ...] = (1, 2)) -> Study:
    return Study(folder, (setting_of("bpr_mf", str(shop), overrides=[*KEYS, *keys]),), seeds)


def test_only_what_is_missing_is_trained(shop: Path, tmp_path: Path) -> None:
    counter = Counter()
    for seeds in ((1,), (1, 2), (1, 2)):
        wanted = study(shop, tmp_path, seeds=seeds)
        assert do_missing(wanted, parts=("test",), place=None, observer=counter) == {}
    assert counter.begun == [(1, 0), (2, 1), (2, 2)]


def test_what_fails_is_told_and_can_be_asked_for(shop: Path, tmp_path: Path) -> None:
    failing = study(shop, tmp_path, "training.learning_rate=1e38", seeds=(3,))
    failures = do_missing(failing, parts=("valid",), place=None, observer=None)
    assert list(failures) == [("bpr_mf", 3)]
    assert reason_of(failures) == reason_of(failures, "bpr_mf") == failures["bpr_mf", 3]
    assert reason_of(failures, "other") == "the same command trains what is missing"


def test_nothing_is_written_where_something_stands_in_the_way(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    setting = study(shop, out).settings[0].changed("bpr_mf", {"model.depth": 3})
    with pytest.raises(ConfigError, match=r"bpr_mf: unknown key 'model\.depth'"):
        do_missing(Study(out, (setting,), (1,)), parts=("test",), place=None, observer=None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependency, match="matplotlib"):
        do_missing(study(shop, out), parts=("test",), place=None, observer=None)
    assert not out.exists()
