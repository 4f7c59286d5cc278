from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from harness.device import (  # noqa: E402
    KERNEL_BAR,
    DeviceUnavailableError,
    StepClock,
    choose_device,
    choose_precision,
    describe,
    kernel_error,
    peak_memory,
)

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("kind", "capability", "features", "precision"),
    [
        ("cuda", (9, 0), set(), "bf16"),
        ("cuda", (8, 0), set(), "bf16"),
        ("cuda", (7, 5), {"amx_bf16"}, "fp16"),
        ("cuda", (7, 0), set(), "fp16"),
        ("cuda", (6, 1), set(), "fp32"),
        ("cuda", None, set(), "fp32"),
        ("cpu", None, {"avx512f", "avx512_bf16"}, "bf16"),
        ("cpu", None, {"amx_bf16"}, "bf16"),
        ("cpu", None, {"avx512f", "avx512_vnni"}, "fp32"),
        ("cpu", None, set(), "fp32"),
    ],
)
def test_precision_is_what_the_hardware_computes(kind, capability, features, precision):
    assert choose_precision(kind, capability, frozenset(features)) == precision


def test_kernel_on_the_cpu_is_right():
    assert 0 < kernel_error(CPU) < KERNEL_BAR / 100


def test_wrong_product_is_noticed(monkeypatch):
    right = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: right(self) * 1.01)
    assert kernel_error(CPU) > KERNEL_BAR


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_missing_cuda_is_unavailable_in_the_words_of_torch():
    with pytest.raises(DeviceUnavailableError, match=r"(?i)cuda|nvidia"):
        choose_device("cuda")


def test_cpu_is_described():
    found = describe(CPU)
    assert (found.kind, found.threads) == ("cpu", torch.get_num_threads())
    assert found.name


def test_clock_gives_one_time_less_than_marks():
    clock = StepClock(CPU)
    for _ in range(4):
        clock.mark()
    assert len(clock.seconds()) == 3
    assert all(seconds >= 0 for seconds in clock.seconds())


def test_peak_memory_of_the_cpu_is_the_process():
    found = peak_memory(CPU)
    assert found.kind == "rss"
    assert found.peak_rss_bytes > 50 * 2**20
    assert found.peak_allocated_bytes is None
