"""All CUDA sources compile for the GPUs of today, as CuPy compiles them, without spilling registers."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import pytest

pytest.importorskip("cupy")

from gpucube.arrays.native import histogram_cupy, sampling_cupy

FOLDER = Path(histogram_cupy.__file__).parent
HISTOGRAM = (FOLDER / "histogram.cu").read_text(encoding="utf-8")
AXES = [(n_axes, value) for n_axes in (1, 3, 4) for value in ("float", "double")]
# What each launcher compiles: source and options.
SOURCES = {
    **{f"histogram-{n}-{value}": (HISTOGRAM, histogram_cupy.options(n, value)) for n, value in AXES},
    "philox": ((FOLDER / "philox.cu").read_text(encoding="utf-8"), ()),
    "sampling": (sampling_cupy.source(), sampling_cupy.options(2.7)),
    "sampling-nearly-flat": (sampling_cupy.source(), sampling_cupy.options(1.2)),
    "sampling-flat": (sampling_cupy.source(), sampling_cupy.options(1.0)),
}
KERNELS = {"histogram": 4, "philox": 1, "sampling": 2}

# CuPy adds this to the options of every launcher.
FLUSH = "-ftz=true"

Compile = Callable[..., bytes]


def _library() -> ctypes.CDLL | None:
    """NVRTC of the CUDA toolkit, or of the package nvidia-cuda-nvrtc."""
    try:
        packaged = [str(path.locate()) for path in files("nvidia-cuda-nvrtc") or () if "libnvrtc.so" in path.name]
    except PackageNotFoundError:
        packaged = []
    for name in (*packaged, "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


@pytest.fixture(scope="module")
def nvrtc() -> Compile:
    """Compiler in this process: source and options in, machine code or PTX out."""
    library = _library()
    if library is None:
        pytest.skip("needs NVRTC (package nvidia-cuda-nvrtc)")

    def check(status: int, program: ctypes.c_void_p) -> None:
        if status:
            size = ctypes.c_size_t()
            library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
            log = ctypes.create_string_buffer(size.value)
            library.nvrtcGetProgramLog(program, log)
            pytest.fail(log.value.decode())

    def compile(source: str, options: tuple[str, ...], result: str = "CUBIN") -> bytes:
        program = ctypes.c_void_p()
        assert library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None) == 0
        arguments = [option.encode() for option in (*options, FLUSH, "--gpu-architecture=sm_90")]
        check(
            library.nvrtcCompileProgram(program, len(arguments), (ctypes.c_char_p * len(arguments))(*arguments)),
            program,
        )
        size = ctypes.c_size_t()
        check(getattr(library, f"nvrtcGet{result}Size")(program, ctypes.byref(size)), program)
        binary = ctypes.create_string_buffer(size.value)
        check(getattr(library, f"nvrtcGet{result}")(program, binary), program)
        library.nvrtcDestroyProgram(ctypes.byref(program))
        return binary.raw

    return compile


@pytest.mark.parametrize("name", SOURCES)
def test_nvrtc_compiles(nvrtc: Compile, name: str) -> None:
    assert nvrtc(*SOURCES[name])[:4] == b"\x7fELF"


@pytest.mark.parametrize("value", ["float", "double"])
def test_floats_are_widened_without_flushing(nvrtc: Compile, value: str) -> None:
    """What is emulated on the CPU has one instruction that NVRTC does not choose."""
    ptx = nvrtc(*SOURCES[f"histogram-3-{value}"], result="PTX").decode()
    assert ".ftz.f32" in ptx  # the option is in force
    assert "cvt.f64.f32" in ptx
    assert "cvt.ftz.f64.f32" not in ptx


# Spectra that are flat or nearly so, which are rare, spill 16 bytes.
@pytest.mark.parametrize("name", [name for name in SOURCES if "flat" not in name])
def test_nvcc_compiles_without_spills(name: str, tmp_path: Path) -> None:
    if not shutil.which("nvcc"):
        pytest.skip("needs nvcc")
    source, options = SOURCES[name]
    path = tmp_path / "kernel.cu"
    path.write_text(source, encoding="utf-8")
    command = ["nvcc", "-arch=sm_90", "-Xptxas", "-v", "-Werror", "all-warnings", FLUSH, *options]
    command += ["-cubin", "-o", str(tmp_path / "kernel.cubin"), str(path)]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    spills = [line for line in report.splitlines() if "spill" in line]
    assert len(spills) == KERNELS[name.partition("-")[0]], report
    assert all("0 bytes spill stores, 0 bytes spill loads" in line for line in spills), report
