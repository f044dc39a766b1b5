"""Between the memory of the computer and that of a GPU, without waiting.

On a CPU nothing has to move, and everything here costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray


def staged(raw: NDArray[Any], device: torch.device) -> torch.Tensor:
    """Return raw tiles as a tensor from which a GPU can copy while others compute."""
    tiles = torch.from_numpy(raw)
    return tiles.pin_memory() if device.type == "cuda" else tiles


class Landing:
    """An array on its way from the device; it is waited for only when somebody asks.

    Parameters
    ----------
    values
        What is fetched; on a GPU in the stream that is current.
    """

    def __init__(self, values: torch.Tensor) -> None:
        self._arrived: torch.cuda.Event | None = None
        if values.device.type == "cuda":
            self._host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._host.copy_(values, non_blocking=True)
            self._arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._arrived.record(torch.cuda.current_stream(values.device))
        else:
            self._host = values

    def tensor(self) -> torch.Tensor:
        """Wait, and return the values on the CPU."""
        if self._arrived is not None:
            self._arrived.synchronize()
            self._arrived = None
        return self._host.cpu()

    def array(self) -> NDArray[Any]:
        """Wait, and return the values."""
        values: NDArray[Any] = self.tensor().numpy()
        return values
