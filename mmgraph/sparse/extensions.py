"""Build torch-scatter and torch-sparse for the torch that is installed.

``python -m mmgraph.sparse.extensions``: both packages come as source only, compile against one
exact torch, and are optional; mmgraph works without them. This program needs the standard library
alone. It fetches the two archives by name, version and sha256, compiles them in the running Python
environment, keeps the wheels in a cache folder named after torch, Python, platform and device, and
installs them from there. A second run with the same torch takes seconds.

A failure (no compiler, too little memory, no network) is a warning and exit code 0, or exit code 1
with ``--strict``.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmgraph.errors import MissingDependency
from mmgraph.files import sha256_of

logger = logging.getLogger(__name__)

BYTES_PER_JOB = 2_500_000_000
"""Memory to allow for each compiler process; 1.6 to 2.1 GB were measured."""

SECONDS_PER_FILE = 32.0
"""Time one C++ file takes on one core, measured with torch 2.13."""

MANIFEST = "wheels.json"


@dataclass(frozen=True)
class Source:
    """One source archive: what to ask the package index for, and what must arrive."""

    package: str
    version: str
    sha256: str
    module: str
    cpp_files: int  # compiled in a CPU build; used to announce the time


SCATTER_SHA256 = "69b3aa435f2424ac6a1bfb6ff702da6eb73b33ca0db38fb26989c74159258e47"
SPARSE_SHA256 = "2f14c510a6e93f404c6ea357210615b3c15a71731f9dbd86f25434e34fb5a741"
SOURCES = (
    Source("torch-scatter", "2.1.2", SCATTER_SHA256, "torch_scatter", 8),
    Source("torch-sparse", "0.6.18", SPARSE_SHA256, "torch_sparse", 23),
)


@dataclass(frozen=True)
class Plan:
    """Everything decided before a build starts."""

    torch_version: str
    folder: Path
    device: str  # "cpu" or "cu130"
    jobs: int


def cpu_count() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> int:
    """Return the memory of the machine, or of the container when that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file():
        text = limit.read_text().strip()
        if text.isdigit():
            total = min(total, int(text))
    return total


def job_count(cores: int, memory: int) -> int:
    """Return how many compilers may run at once, given the cores and the memory in bytes.

    Example:
        >>> job_count(8, 10_000_000_000)
        4
    """
    return max(1, min(cores, memory // BYTES_PER_JOB))


def build_minutes(jobs: int) -> int:
    """Return the minutes a CPU build takes, rounded up.

    Example:
        >>> build_minutes(1), build_minutes(2)
        (17, 9)
    """
    seconds = SECONDS_PER_FILE * sum(source.cpp_files for source in SOURCES) / jobs
    return int(-(-seconds // 60))


def build_device(torch_cuda: str | None, nvcc_release: str | None) -> str:
    """Return ``"cuXYZ"`` when nvcc and torch agree on CUDA's major version, else ``"cpu"``.

    Example:
        >>> build_device("13.0", "13.2"), build_device("13.0", "12.8"), build_device(None, "13.0")
        ('cu130', 'cpu', 'cpu')
    """
    if torch_cuda is None or nvcc_release is None:
        return "cpu"
    if torch_cuda.split(".")[0] != nvcc_release.split(".")[0]:
        return "cpu"
    return "cu" + torch_cuda.replace(".", "")


def cache_folder_name(torch_version: str, python: str, platform: str, device: str) -> str:
    """Return the name of the folder that holds wheels for exactly this combination."""
    name = "-".join((torch_version, python, platform, device))
    return re.sub(r"[^A-Za-z0-9.+_-]", "_", name)


def cache_root(environ: Mapping[str, str], chosen: Path | None = None) -> Path:
    """Return the chosen cache folder, else ``MMGRAPH_CACHE``, else ``~/.cache/mmgraph``."""
    if chosen is not None:
        return chosen.expanduser().resolve()
    if environ.get("MMGRAPH_CACHE"):
        return Path(environ["MMGRAPH_CACHE"]).expanduser().resolve()
    return Path.home() / ".cache" / "mmgraph"


def requirements_text(sources: Sequence[Source] = SOURCES) -> str:
    """Return the lines for ``pip --require-hashes``, which refuses any other archive."""
    return "".join(f"{s.package}=={s.version} --hash=sha256:{s.sha256}\n" for s in sources)


def write_manifest(folder: Path, wheels: Sequence[Path]) -> None:
    """Record the sha256 of each wheel, so that a damaged or exchanged one is noticed at reuse."""
    record = {wheel.name: sha256_of(wheel) for wheel in sorted(wheels)}
    (folder / MANIFEST).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def cached_wheels(folder: Path, sources: Sequence[Source] = SOURCES) -> list[Path]:
    """Return the recorded wheels of ``folder`` in the order of ``sources``; empty without a record.

    Raises:
        MissingDependency: A wheel is missing, or its sha256 is not the recorded one.
    """
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return []
    try:
        record = dict(json.loads(manifest.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise MissingDependency(
            f"{manifest}: must be a JSON object of sha256 values ({error})"
        ) from None
    found = []
    for source in sources:
        names = [n for n in record if n.startswith(f"{source.module}-{source.version}-")]
        wheel = folder / names[0] if names else None
        if wheel is None or not wheel.is_file():
            raise MissingDependency(f"{folder}: no wheel of {source.package} {source.version}")
        if sha256_of(wheel) != record[wheel.name]:
            raise MissingDependency(f"{wheel}: sha256 differs from the one recorded in {MANIFEST}")
        found.append(wheel)
    return found


def build_environment(
    environ: Mapping[str, str], *, device: str, jobs: int, config: Path
) -> dict[str, str]:
    """Return the environment of the build.

    ``-g0`` drops debugging symbols: a quarter less time and memory, the same code. setuptools takes
    ``CXXFLAGS`` for C++ and lets both variables replace Python's own flags, so these are repeated.
    ninja, where there is one, reads ``MAX_JOBS``; else the file ``config`` makes setuptools build
    several extension modules at once (see `modules_at_once`).
    """
    flags = f"{sysconfig.get_config_var('CFLAGS') or ''} -g0".strip()
    changed = {
        "CFLAGS": flags,
        "CXXFLAGS": flags,
        "MAX_JOBS": str(jobs),
        "DIST_EXTRA_CONFIG": str(config),
    }
    # FORCE_CUDA, or a container that hides the GPU would put CPU kernels into a CUDA folder.
    changed["FORCE_ONLY_CPU" if device == "cpu" else "FORCE_CUDA"] = "1"
    return {**environ, **changed}


def modules_at_once(environ: Mapping[str, str], *, device: str, jobs: int) -> int:
    """Return how many extension modules setuptools may build at a time.

    One where they share something: torch compiles through ninja wherever it is, and all modules
    write the same ``build.ninja``; a CUDA build changes the one compiler object as it goes.
    """
    shared = device != "cpu" or shutil.which("ninja", path=environ.get("PATH")) is not None
    return 1 if shared else jobs


def nvcc_release(environ: Mapping[str, str]) -> str | None:
    """Return the CUDA release of the nvcc that a build would use, such as ``"13.0"``."""
    home = environ.get("CUDA_HOME") or environ.get("CUDA_PATH")
    nvcc = str(Path(home) / "bin" / "nvcc") if home else shutil.which("nvcc")
    if nvcc is None or not Path(nvcc).is_file():
        return None
    answer = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=False)
    match = re.search(r"release (\d+\.\d+)", answer.stdout)
    return match.group(1) if match else None


def installed_torch() -> tuple[str, str | None]:
    """Return the version of torch and of the CUDA it was built for.

    Raises:
        MissingDependency: torch is not installed, or cannot be imported.
    """
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        raise MissingDependency(
            "torch must be installed first; run: pip install torch==2.13.0"
        ) from None
    command = [sys.executable, "-c", "import torch; print(torch.version.cuda or '')"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        last = (answer.stderr.strip().splitlines() or ["no message"])[-1]
        raise MissingDependency(f"torch {version} cannot be imported ({last}); install it again")
    return version, answer.stdout.strip() or None


def check_toolchain(environ: Mapping[str, str], memory: int) -> None:
    """Raise unless a build can start here.

    Raises:
        MissingDependency: No C++ compiler, Python headers or setuptools, or too little memory.
    """
    compilers = [environ["CXX"].split()[0]] if environ.get("CXX") else ["c++", "g++", "clang++"]
    if not any(shutil.which(name, path=environ.get("PATH")) for name in compilers):
        raise MissingDependency(
            f"a C++ compiler is needed (looked for {', '.join(compilers)}); install g++ or set CXX"
        )
    if memory < BYTES_PER_JOB * 0.9:
        raise MissingDependency(
            f"a compiler needs 2.2 GB of memory (the machine has {memory / 1e9:.1f} GB);"
            " build on a larger machine and copy the cache folder"
        )
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.is_file():
        raise MissingDependency(f"Python's headers are needed (no {header}); install python3-dev")
    if importlib.util.find_spec("setuptools") is None:
        raise MissingDependency("setuptools is needed to build; run: pip install setuptools")


def make_plan(environ: Mapping[str, str], *, jobs: int | None, cache: Path | None) -> Plan:
    """Decide device, cache folder and number of compilers for the torch that is installed."""
    torch_version, torch_cuda = installed_torch()
    device = build_device(torch_cuda, nvcc_release(environ))
    if torch_cuda is not None and device == "cpu":
        logger.warning(
            "torch is built for CUDA %s and no nvcc of that major version was found:"
            " the kernels will serve CPU tensors only",
            torch_cuda,
        )
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    name = cache_folder_name(torch_version, python, sysconfig.get_platform(), device)
    jobs = jobs or job_count(cpu_count(), memory_bytes())
    folder = cache_root(environ, cache) / "wheels" / name
    return Plan(torch_version, folder, device, jobs)


def run_build(command: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
    """Run pip, keep its whole output in ``log`` and report each compiled file.

    Raises:
        MissingDependency: pip failed; carries the line that says why.
    """
    started = time.monotonic()
    files, expected = 0, sum(source.cpp_files for source in SOURCES)
    errors: list[str] = []
    with (
        log.open("w", encoding="utf-8") as out,
        subprocess.Popen(
            command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process,
    ):
        assert process.stdout is not None  # PIPE was asked for
        for line in process.stdout:
            out.write(line)
            out.flush()
            compiled = re.search(r"\s-c (\S+\.(?:cpp|cu))\s", line)
            if compiled:
                files += 1
                clock = f"{(time.monotonic() - started) / 60:.1f} min"
                logger.info("  %s, file %d of %d: %s", clock, files, expected, compiled.group(1))
            if re.search(r"\berror\b", line, re.IGNORECASE) and "Werror" not in line:
                errors.append(line.strip())
    if process.returncode != 0:
        reason = errors[0][:300] if errors else "no error line"
        raise MissingDependency(f"the build failed: {reason}; the whole output is in {log}")


def build_wheels(plan: Plan, environ: Mapping[str, str]) -> list[Path]:
    """Compile both packages and put the wheels, with their sha256, into the cache folder."""
    check_toolchain(environ, memory_bytes())
    plan.folder.mkdir(parents=True, exist_ok=True)
    names = " and ".join(source.package for source in SOURCES)
    logger.info("Building %s for torch %s (%s).", names, plan.torch_version, plan.device)
    least, minutes = "about" if plan.device == "cpu" else "more than", build_minutes(plan.jobs)
    logger.info("This takes %s %d minutes; compilers at a time: %d", least, minutes, plan.jobs)
    with tempfile.TemporaryDirectory(dir=plan.folder, prefix="building-") as name:
        work = Path(name)
        (work / "requirements.txt").write_text(requirements_text(), encoding="utf-8")
        parallel = modules_at_once(environ, device=plan.device, jobs=plan.jobs)
        (work / "setup.cfg").write_text(f"[build_ext]\nparallel = {parallel}\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "wheel", "--verbose", "--no-build-isolation"]
        command += ["--no-cache-dir", "--no-deps", "--require-hashes", "--no-binary", ":all:"]
        command += ["--wheel-dir", str(work), "--requirement", str(work / "requirements.txt")]
        settings = build_environment(
            environ, device=plan.device, jobs=plan.jobs, config=work / "setup.cfg"
        )
        run_build(command, settings, plan.folder / "build.log")
        built = [wheel.replace(plan.folder / wheel.name) for wheel in sorted(work.glob("*.whl"))]
    write_manifest(plan.folder, built)
    return cached_wheels(plan.folder)


def install_wheels(wheels: Sequence[Path]) -> None:
    """Install the wheels into the running environment and import them once in a fresh process.

    Raises:
        MissingDependency: pip failed, or a module cannot be imported.
    """
    # Versions do not change when torch does, so pip would keep a wheel built for another torch.
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet"]
    install += ["--force-reinstall", *map(str, wheels)]
    modules = ", ".join(source.module for source in SOURCES)
    for command in (install, [sys.executable, "-c", f"import {modules}"]):
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode != 0:
            last = (answer.stderr.strip().splitlines() or ["no message"])[-1]
            raise MissingDependency(f"the wheels do not install or import: {last}")


def provide(plan: Plan, environ: Mapping[str, str], *, install: bool = True) -> list[Path]:
    """Return the wheels from the cache, or build them; then install them unless told not to."""
    try:
        wheels = cached_wheels(plan.folder)
    except MissingDependency as error:
        logger.warning("%s; building again", error)
        wheels = []
    if wheels:
        logger.info("Using the wheels in %s", plan.folder)
    else:
        wheels = build_wheels(plan, environ)
    if install:
        install_wheels(wheels)
    return wheels


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m mmgraph.sparse.extensions",
        description="Build torch-scatter and torch-sparse for the installed torch.",
    )
    parser.add_argument("--strict", action="store_true", help="a failure is exit code 1")
    parser.add_argument("--jobs", type=int, metavar="N", help="compilers at a time")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="instead of ~/.cache/mmgraph")
    parser.add_argument("--wheels-only", action="store_true", help="build, do not install")
    options = parser.parse_args(arguments)
    if options.jobs is not None and options.jobs < 1:
        parser.error(f"--jobs must be at least 1 (got {options.jobs})")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    started = time.monotonic()
    try:
        plan = make_plan(os.environ, jobs=options.jobs, cache=options.cache)
        wheels = provide(plan, os.environ, install=not options.wheels_only)
    except (MissingDependency, OSError) as error:
        logger.warning("torch-scatter and torch-sparse were not built: %s", error)
        logger.warning("mmgraph works without them and uses the kernels of torch.")
        return 1 if options.strict else 0
    action = "Built" if options.wheels_only else "Installed"
    names = " and ".join(wheel.name for wheel in wheels)
    logger.info("%s %s in %.1f min", action, names, (time.monotonic() - started) / 60)
    return 0


if __name__ == "__main__":
    sys.exit(main())
