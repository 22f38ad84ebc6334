"""C sources of the project, compiled once by the machine's C compiler and kept in a cache.

Compiling takes about a second, once per machine, compiler and version of the source. Who calls has a slower way in torch
operations for machines without a compiler.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

log = logging.getLogger(__name__)

FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
COMPILERS = ("cc", "gcc", "clang")


@functools.cache
def load_library(source: Path, purpose: str) -> ctypes.CDLL | None:
    """The compiled ``source``, with OpenMP where there is any; None, and one line in the log, where that is not possible.

    Args:
        source: a C file without includes of its own.
        purpose: what it computes, for the message ("the proximal step").
    """
    compiler = os.environ.get("CC") or next((name for name in COMPILERS if shutil.which(name)), None)
    if compiler is None:
        log.info("no C compiler (%s) found: %s uses torch operations, which is slower", ", ".join(COMPILERS), purpose)
        return None
    problems = []
    for openmp in (("-fopenmp",), ()):
        try:
            return _load(source, shlex.split(compiler), openmp)
        except (OSError, subprocess.SubprocessError) as error:
            output = getattr(error, "stderr", None) or error
            problems.append(" ".join(str(output).split())[:200])
    log.info("%s could not be compiled (%s): torch operations are used, which is slower", purpose, problems[-1])
    return None


def forget() -> None:
    """Look for the compiler and the cache again, as a new process would."""
    load_library.cache_clear()
    _cache_folder.cache_clear()


def _load(source: Path, compiler: list[str], openmp: tuple[str, ...]) -> ctypes.CDLL:
    """The library from the cache; a file there that cannot be loaded (a full disk, once) is made again."""
    path = _build(source, compiler, openmp)
    try:
        return ctypes.CDLL(str(path))
    except OSError:
        path.unlink()
        return ctypes.CDLL(str(_build(source, compiler, openmp)))


def _build(source: Path, compiler: list[str], openmp: tuple[str, ...]) -> Path:
    """Path of the compiled library: from the cache, or compiled now."""
    command = [*compiler, *FLAGS, *openmp]
    version = subprocess.run([*compiler, "--version"], capture_output=True, text=True, check=True, timeout=60).stdout
    identity = "\0".join([source.read_text(encoding="utf-8"), *command, version, platform.machine(), _processor()])
    path = _cache_folder() / f"{source.stem}-{hashlib.sha256(identity.encode()).hexdigest()[:20]}.so"
    if not path.is_file():
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            target = Path(folder) / path.name
            subprocess.run(
                [*command, str(source), "-o", str(target), "-lm"], capture_output=True, text=True, check=True, timeout=120
            )
            target.replace(path)  # several processes may compile at once: each moves a whole file into place
    return path


def _processor() -> str:
    """Return what ``-march=native`` depends on: a cache in a shared home must not be read on another kind of processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))}))


@functools.cache
def _cache_folder() -> Path:
    """``$XDG_CACHE_HOME/less-is-more``, or a private temporary folder where that cannot be written."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "less-is-more"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder):
            return folder
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="less-is-more-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return folder
