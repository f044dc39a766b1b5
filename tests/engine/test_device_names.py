from __future__ import annotations

import pytest
import torch

from napari_tileseg.engine.device import device_choices, resolve_device, resolve_devices
from napari_tileseg.errors import DeviceError


@pytest.fixture
def three_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"GPU {index}")


def _names(wanted: str) -> list[str]:
    return [str(device) for device in resolve_devices(wanted)]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("auto", ["cuda:0"]),
        ("cuda", ["cuda:0"]),
        ("cuda:2", ["cuda:2"]),
        ("CUDA:all", ["cuda:0", "cuda:1", "cuda:2"]),
        ("cuda:2, cuda:0", ["cuda:2", "cuda:0"]),
        ("cuda:1,cuda:all,cuda:1", ["cuda:1", "cuda:0", "cuda:2"]),
        ("cpu", ["cpu"]),
    ],
)
@pytest.mark.usefixtures("three_gpus")
def test_a_name_can_stand_for_several_gpus_each_once(wanted, found):
    assert _names(wanted) == found
    assert str(resolve_device(wanted)) == found[0]


@pytest.mark.usefixtures("three_gpus")
@pytest.mark.parametrize("wanted", ["cuda:3", "cuda:0,cuda:7", "cuda:0,", "", "gpu"])
def test_a_device_that_is_not_there_is_said_with_those_there_are(wanted):
    with pytest.raises(DeviceError, match="cpu, cuda:all, cuda:2, cuda:1, cuda:0"):
        resolve_devices(wanted)


@pytest.mark.usefixtures("three_gpus")
def test_a_gpu_and_a_processor_do_not_share_one_run():
    with pytest.raises(DeviceError, match="different kinds"):
        resolve_devices("cuda:0,cpu")


@pytest.mark.usefixtures("three_gpus")
def test_all_gpus_are_offered_but_are_not_the_automatic_choice():
    choices = device_choices()
    assert ("cuda:all", "All 3 GPUs") in choices
    assert choices[0] == ("cuda:0", "GPU 0")


@pytest.mark.parametrize("count", [0, 1])
def test_all_gpus_are_no_choice_where_there_is_at_most_one(count, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "GPU")
    assert "cuda:all" not in dict(device_choices())
    if count:
        assert _names("cuda:all") == ["cuda:0"]
    else:
        with pytest.raises(DeviceError, match="no device 'cuda:all'"):
            resolve_devices("cuda:all")


def test_several_names_of_the_processor_are_one_device():
    assert _names("cpu,cpu") == ["cpu"]
