"""Devices and precisions."""

import pytest
import torch

from engine import device as module
from engine.device import has_native_bf16, resolve, resolve_device
from tests.configs import make_config
from utils.errors import ConfigError


def test_auto_is_cuda_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for available, expected in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        assert resolve_device("auto") == torch.device(expected)


def test_cpu_is_always_there() -> None:
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps", "cuda:99", "xpu", "meta"])
def test_a_device_that_is_not_there_is_one_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=rf"^device: '{name}' is not there on this machine; use 'auto' or 'cpu'$"):
        resolve_device(name)


@pytest.mark.parametrize("name", ["gpu", "", "cuda:", "cuda:x", "cpu0", "-1"])
def test_a_name_that_is_no_device_says_what_is_one(name: str) -> None:
    with pytest.raises(ConfigError, match="is not valid; expected auto, cpu, cuda"):
        resolve_device(name)


def test_a_number_beyond_the_last_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(ConfigError, match="cuda:2"):
        resolve_device("cuda:2")


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16"), (False, "fp32")])
def test_automatic_precision_is_decided_and_kept(native: bool, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "has_native_bf16", lambda device: native)
    config, device = resolve(make_config(precision="auto"))
    assert (config.precision, device.type) == (expected, "cpu")
    for asked in ("fp32", "bf16"):
        assert resolve(make_config(precision=asked))[0].precision == asked


def test_bf16_is_native_on_a_cpu_with_instructions_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for capabilities, expected in (({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"avx2": True}, False)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda answer=capabilities: answer, raising=False)
        assert has_native_bf16(torch.device("cpu")) is expected
    assert has_native_bf16(torch.device("mps")) is False


def test_each_of_several_processes_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setattr("engine.distributed.Ranks.size", 3)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.set_device", taken.append)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert [str(resolve_device(name)) for name in ("auto", "cuda", "cpu")] == ["cuda:1", "cuda:1", "cpu"] and taken == [1, 1]
    with pytest.raises(ConfigError, match=r"^device: 'cuda:0' is one GPU, and each process has its own; write device=cuda$"):
        resolve_device("cuda:0")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ConfigError, match=r"^device: 'auto' needs a GPU for each process, and there are 2$"):
        resolve_device("auto")
