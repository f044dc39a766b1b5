"""Where a network runs, in which precision, and what is said when that is not possible."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from napari_tileseg.errors import DeviceError
from napari_tileseg.settings import Precision

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

_AUTOCAST = {
    Precision.BF16: torch.bfloat16,
    Precision.BF16_DECODER: torch.bfloat16,
    Precision.FP16: torch.float16,
}

_ALL_GPUS = "cuda:all"


def resolve_device(name: str) -> torch.device:
    """Return the device of that name, the first one if it names several; see `resolve_devices`."""
    return resolve_devices(name)[0]


def resolve_devices(name: str) -> tuple[torch.device, ...]:
    """Return the devices of that name, each once.

    Parameters
    ----------
    name
        "auto" is the first GPU, else MPS, else the CPU; "cuda:all" is every GPU, and
        "cuda:0,cuda:1" are those two.

    Raises
    ------
    DeviceError
        If there is no such device, the message names those there are; or if several are
        named that are not all GPUs.
    """
    choices = [value for value, _ in device_choices()]
    single = [value for value in choices if value != _ALL_GPUS]
    gpus = [value for value in single if value.startswith("cuda:")]
    stands_for = {"auto": single[:1], "cuda": gpus[:1], _ALL_GPUS: gpus}
    found: dict[str, None] = {}
    for part in name.lower().split(","):
        wanted = part.strip()
        values = stands_for.get(wanted) or [wanted]
        if not set(values) <= set(single):
            raise DeviceError(
                f"There is no device '{part.strip() or name}' here. There is: "
                f"{', '.join(reversed(choices))}. Choose one of these, or auto."
            )
        found.update(dict.fromkeys(values))
    if len(found) > 1 and not set(found) <= set(gpus):
        raise DeviceError(
            f"'{name}' names devices of different kinds; their labels would differ in a few "
            "pixels. Choose one of them, or several GPUs such as cuda:0,cuda:1."
        )
    return tuple(map(torch.device, found))


def device_choices() -> list[tuple[str, str]]:
    """Return what a run can use, as (name, label for a person); the first is what "auto" is."""
    count = torch.cuda.device_count()
    choices = [(f"cuda:{index}", torch.cuda.get_device_name(index)) for index in range(count)]
    if count > 1:
        choices.append((_ALL_GPUS, f"All {count} GPUs"))
    if torch.backends.mps.is_available():
        choices.append(("mps", "Apple GPU"))
    return [*choices, ("cpu", "CPU")]


def prepared(module: nn.Module, device: torch.device) -> nn.Module:
    """Bring a module to a device, in the layout in which it computes fastest; it is changed."""
    module.to(device).eval()
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d)):
            part.to(memory_format=torch.channels_last)
    return module


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """Return a context in which the network computes in `precision`, and fp32 in all its bits.

    A network that computes only partly in half precision has to be made ready for that; see
    `half_decoder.computing_in`.

    Raises
    ------
    DeviceError
        If the device cannot compute in it.
    """
    dtype = _AUTOCAST.get(precision)
    if dtype is None and device.type == "cuda":
        # a GPU would round what it multiplies to 10 bits
        return torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False)
    if dtype is None:
        return nullcontext()
    if device.type == "cpu" and dtype is torch.float16:
        raise DeviceError("A CPU does not compute in fp16; choose bf16 or fp32.")
    return torch.autocast(device.type, dtype)


def fast_precision(device: torch.device) -> Precision:
    """Return the number format a device is fastest in and that has the range of fp32."""
    if device.type == "cuda":
        return Precision.BF16 if torch.cuda.is_bf16_supported() else Precision.FP32
    # older versions of torch do not know what the processor can do
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    native = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return Precision.BF16 if device.type == "cpu" and native else Precision.FP32


def in_fast_layout(tiles: torch.Tensor) -> torch.Tensor:
    """Put channels last in memory where that is faster: images (B, C, H, W), not volumes."""
    return tiles.contiguous(memory_format=torch.channels_last) if tiles.ndim == 4 else tiles


def default_batch(device: torch.device) -> int:
    """Return how many tiles to run at once if nobody says."""
    return 1 if device.type == "cpu" else 4


@contextmanager
def memory_errors_explained(device: torch.device) -> Iterator[None]:
    """Turn running out of memory into a sentence that says what helps."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise _out_of_memory(device) from error
        raise


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch or Python means that memory ran out."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return "not enough memory" in str(error) or "out of memory" in str(error)


def release_memory(device: torch.device) -> None:
    """Give memory that torch keeps for later back to the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def _out_of_memory(device: torch.device) -> DeviceError:
    return DeviceError(
        f"The device ({device}) has not enough memory for this. What is finished is kept. "
        "Choose a smaller tile or batch, tiles instead of the whole image, or the CPU."
    )
