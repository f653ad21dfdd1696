"""Pictures: the same bytes each time, whole files only, one line where matplotlib is missing."""

import json
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from mmgraph.errors import MissingDependency
from mmgraph.report import check_drawing, drawing, render, write_result

PNG = b"\x89PNG\r\n\x1a\n"


def picture(height: float = 1.0) -> dict[str, bytes]:
    with drawing(panels=2) as (figure, (left, right)):
        left.plot([0, 1], [0, height], marker="o", label="a line")
        left.legend()
        right.fill_between([0, 1], [0, height], alpha=0.3)
        return render(figure)


def test_both_formats_are_whole_files() -> None:
    found = picture()
    assert sorted(found) == [".png", ".svg"]
    assert found[".png"].startswith(PNG)
    assert ElementTree.fromstring(found[".svg"]).tag.endswith("svg")
    assert b"a line" in found[".svg"]  # text stays text


def test_the_same_picture_has_the_same_bytes_whatever_this_machine_prefers() -> None:
    import matplotlib

    first = picture()
    assert picture(2.0) != first
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "savefig.dpi": 10}):
        assert picture() == first
        assert matplotlib.rcParams["font.size"] == 30  # what was set before is set again


def test_no_version_and_no_time_is_in_the_files() -> None:
    import matplotlib

    for content in picture().values():
        assert matplotlib.__version__.encode() not in content
        assert b"<dc:date>" not in content


def test_numbers_and_pictures_lie_beside_each_other(tmp_path: Path) -> None:
    with drawing() as (figure, (axes,)):
        axes.plot([0, 1])
        files = write_result(tmp_path / "made" / "user.1", {"näme": [1.5, None]}, figure)
    assert [path.name for path in files] == ["user.1.json", "user.1.png", "user.1.svg"]
    assert sorted(files) == sorted((tmp_path / "made").iterdir())
    assert json.loads(files[0].read_text(encoding="utf-8")) == {"näme": [1.5, None]}
    assert files[1].read_bytes().startswith(PNG)


@pytest.mark.parametrize("broken", ["number", "disk"])
def test_what_fails_leaves_the_old_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    with drawing() as (figure, (axes,)):
        axes.plot([0, 1])
        before = {p: p.read_bytes() for p in write_result(tmp_path / "a", {"x": 1}, figure)}
        value = {"x": float("nan")} if broken == "number" else {"x": 2}
        if broken == "disk":
            write = Path.write_bytes

            def write_bytes(self: Path, content: bytes) -> int:
                if self.suffix == ".svg":
                    raise OSError(28, "No space left on device", str(self))
                return write(self, content)

            monkeypatch.setattr(Path, "write_bytes", write_bytes)
        with pytest.raises((ValueError, OSError)):
            write_result(tmp_path / "a", value, figure)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_without_matplotlib_the_install_line_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependency, match=r"pip install 'mmgraph\[report\]'"):
        check_drawing()
    with pytest.raises(MissingDependency), drawing():
        raise AssertionError("never reached")
