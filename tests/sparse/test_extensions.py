"""Planning, caching and failing of the extension build; nothing is compiled here."""

import hashlib
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from mmgraph.errors import MissingDependency
from mmgraph.sparse import extensions
from mmgraph.sparse.extensions import Plan


def make_wheels(folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    wheels = []
    for source in extensions.SOURCES:
        wheel = folder / f"{source.module}-{source.version}-cp311-cp311-linux_x86_64.whl"
        wheel.write_bytes(source.package.encode())
        wheels.append(wheel)
    return wheels


@pytest.mark.parametrize(
    ("cores", "memory", "jobs"),
    [(2, 24e9, 2), (16, 24e9, 9), (8, 10e9, 4), (4, 2.4e9, 1), (1, 1e12, 1)],
)
def test_job_count_is_bounded_by_cores_and_by_memory(cores: int, memory: float, jobs: int) -> None:
    assert extensions.job_count(cores, int(memory)) == jobs


def test_announced_minutes_shrink_with_jobs() -> None:
    assert extensions.build_minutes(1) == 17
    assert extensions.build_minutes(2) < extensions.build_minutes(1)


@pytest.mark.parametrize(
    ("torch_cuda", "nvcc", "device"),
    [
        ("13.0", "13.1", "cu130"),
        ("12.8", "12.8", "cu128"),
        ("13.0", "12.8", "cpu"),
        ("13.0", None, "cpu"),
        (None, "13.0", "cpu"),
        ("1.3", "13.0", "cpu"),
    ],
)
def test_a_gpu_build_needs_the_same_cuda_major(
    torch_cuda: str | None, nvcc: str | None, device: str
) -> None:
    assert extensions.build_device(torch_cuda, nvcc) == device


def test_cache_folder_name_tells_every_part_apart() -> None:
    base = ["2.13.0+cpu", "cp311", "linux-x86_64", "cpu"]
    assert extensions.cache_folder_name(*base) == "2.13.0+cpu-cp311-linux-x86_64-cpu"
    others = [["2.13.1+cpu", "cp312", "macosx-14.0-arm64", "cu130"][i] for i in range(4)]
    names = {
        extensions.cache_folder_name(*[*base[:i], others[i], *base[i + 1 :]]) for i in range(4)
    }
    assert len(names | {extensions.cache_folder_name(*base)}) == 5
    assert "/" not in extensions.cache_folder_name("2.13/../x", "cp311", "a b", "cpu")


def test_cache_root_prefers_the_option_then_the_variable(tmp_path: Path) -> None:
    environ = {"MMGRAPH_CACHE": str(tmp_path / "variable")}
    assert extensions.cache_root(environ, tmp_path / "option") == (tmp_path / "option").resolve()
    assert extensions.cache_root(environ) == (tmp_path / "variable").resolve()
    assert extensions.cache_root({}) == Path.home() / ".cache" / "mmgraph"


def test_requirements_pin_version_and_hash_in_the_form_pip_reads() -> None:
    lines = extensions.requirements_text().splitlines()
    assert [line.split()[0] for line in lines] == ["torch-scatter==2.1.2", "torch-sparse==0.6.18"]
    for line in lines:
        algorithm, digest = line.split(" --hash=")[1].split(":")
        assert algorithm == "sha256"
        assert len(bytes.fromhex(digest)) == 32


def test_recorded_wheels_are_found_again_in_order(tmp_path: Path) -> None:
    wheels = make_wheels(tmp_path)
    assert extensions.cached_wheels(tmp_path) == []  # without a record they are not trusted
    extensions.write_manifest(tmp_path, wheels[::-1])
    assert extensions.cached_wheels(tmp_path) == wheels
    record = json.loads((tmp_path / extensions.MANIFEST).read_text())
    assert record[wheels[0].name] == hashlib.sha256(b"torch-scatter").hexdigest()


def test_a_changed_wheel_is_refused(tmp_path: Path) -> None:
    wheels = make_wheels(tmp_path)
    extensions.write_manifest(tmp_path, wheels)
    wheels[1].write_bytes(b"something else")
    with pytest.raises(MissingDependency, match="sha256 differs"):
        extensions.cached_wheels(tmp_path)


def test_a_lost_wheel_and_a_broken_record_are_refused(tmp_path: Path) -> None:
    wheels = make_wheels(tmp_path)
    extensions.write_manifest(tmp_path, wheels)
    wheels[0].unlink()
    with pytest.raises(MissingDependency, match="no wheel of torch-scatter"):
        extensions.cached_wheels(tmp_path)
    (tmp_path / extensions.MANIFEST).write_text("{", encoding="utf-8")
    with pytest.raises(MissingDependency, match="must be a JSON object"):
        extensions.cached_wheels(tmp_path)


def test_build_environment_names_the_device_and_drops_debug_symbols(tmp_path: Path) -> None:
    config = tmp_path / "setup.cfg"
    cpu = extensions.build_environment({"A": "b"}, device="cpu", jobs=3, config=config)
    assert cpu["A"] == "b"
    assert cpu["FORCE_ONLY_CPU"] == "1"
    assert "FORCE_CUDA" not in cpu
    assert cpu["MAX_JOBS"] == "3"
    # The last -g wins, and Python's own flags hold an earlier one.
    assert cpu["CXXFLAGS"].split()[-1] == cpu["CFLAGS"].split()[-1] == "-g0"
    gpu = extensions.build_environment({}, device="cu130", jobs=1, config=config)
    assert gpu["FORCE_CUDA"] == "1"
    assert "FORCE_ONLY_CPU" not in gpu


def test_modules_are_built_side_by_side_where_they_share_nothing(tmp_path: Path) -> None:
    without = {"PATH": str(tmp_path / "empty")}
    assert extensions.modules_at_once(without, device="cpu", jobs=3) == 3
    assert extensions.modules_at_once(without, device="cu130", jobs=3) == 1
    ninja = tmp_path / "ninja"
    ninja.write_text("#!/bin/sh\n")
    ninja.chmod(0o755)
    assert extensions.modules_at_once({"PATH": str(tmp_path)}, device="cpu", jobs=3) == 1


def test_nvcc_release_is_read_from_its_answer(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    nvcc = tmp_path / "bin" / "nvcc"
    nvcc.write_text("#!/bin/sh\necho 'Cuda compilation tools, release 12.8, V12.8.93'\n")
    nvcc.chmod(0o755)
    assert extensions.nvcc_release({"CUDA_HOME": str(tmp_path)}) == "12.8"
    assert extensions.nvcc_release({"CUDA_HOME": str(tmp_path / "nowhere")}) is None


def test_toolchain_check_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingDependency, match=r"C\+\+ compiler is needed .* install g\+\+"):
        extensions.check_toolchain({"PATH": str(tmp_path)}, int(16e9))
    compiler = tmp_path / "my-cxx"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    environ = {"PATH": str(tmp_path), "CXX": "my-cxx -O1"}
    with pytest.raises(MissingDependency, match=r"2\.2 GB .* has 1\.0 GB"):
        extensions.check_toolchain(environ, int(1e9))


def test_run_build_reports_files_and_the_first_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger=extensions.__name__)
    lines = (
        "g++ -O3 -c csrc/a.cpp -o a.o\ng++ -O3 -c csrc/b.cpp -o b.o\nb.cpp:1: fatal error: x.h\n"
    )
    command = [sys.executable, "-c", f"import sys; sys.stdout.write({lines!r}); sys.exit(1)"]
    with pytest.raises(MissingDependency, match=r"fatal error: x\.h") as caught:
        extensions.run_build(command, {}, tmp_path / "build.log")
    assert str(tmp_path / "build.log") in str(caught.value)
    assert (tmp_path / "build.log").read_text() == lines
    assert [m.split(": ")[1] for m in caplog.messages] == ["csrc/a.cpp", "csrc/b.cpp"]


def test_whole_wheels_are_used_and_damaged_ones_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wheels = make_wheels(tmp_path)
    extensions.write_manifest(tmp_path, wheels)
    built: list[Plan] = []

    def build(plan: Plan, environ: object) -> list[Path]:
        built.append(plan)
        return wheels

    monkeypatch.setattr(extensions, "build_wheels", build)
    plan = Plan("2.13.0+cpu", tmp_path, "cpu", 1)
    assert extensions.provide(plan, {}, install=False) == wheels
    assert built == []
    wheels[0].write_bytes(b"damaged")
    assert extensions.provide(plan, {}, install=False) == wheels
    assert built == [plan]
    assert "building again" in caplog.text


def test_failure_is_a_warning_unless_strict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(extensions, "installed_torch", lambda: ("2.13.0+cpu", None))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    arguments = ["--cache", str(tmp_path / "cache"), "--wheels-only"]
    assert extensions.main(arguments) == 0
    assert "mmgraph works without them" in caplog.text
    assert extensions.main(["--strict", *arguments]) == 1
    assert not (tmp_path / "cache").exists()


def test_jobs_below_one_are_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        extensions.main(["--jobs", "0"])
    assert caught.value.code == 2
    assert "--jobs must be at least 1 (got 0)" in capsys.readouterr().err


def test_installed_torch_is_the_one_imported() -> None:
    code = "import torch; print(torch.__version__)"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert extensions.installed_torch()[0] == answer.stdout.strip()
