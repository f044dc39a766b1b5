"""U-Nets as people write them, under the names that they choose."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

WIDTHS = (4, 8, 16, 24)


class Written(nn.Module):
    """A U-Net whose layers have the names that somebody chose; skips come first."""

    def __init__(self, style: dict, outputs: int = 3, channels: int = 2) -> None:
        super().__init__()
        self.style, self.norm = style, "norm" in style
        self.learnt = "up" in style
        widths = list(style.get("widths", WIDTHS))
        levels = len(widths) - 1
        before = [channels, *widths[:-1]]
        for level, (inputs, width) in enumerate(zip(before, widths, strict=True)):
            bottom = widths[-2] if not self.learnt and level == levels else width
            self._double("down", level, inputs, bottom, bottom)
            widths[level] = bottom
        values = widths[-1]
        for step in range(levels):
            skip = widths[-2 - step]
            if self.learnt:
                self._put(style["up"](step, levels), nn.ConvTranspose2d(values, skip, 2, stride=2))
                values = skip
            after = skip if self.learnt else (widths[-3 - step] if step < levels - 1 else skip)
            self._double("join", step, values + skip, skip, after)
            values = after
        self._put(style["head"], nn.Conv2d(values, outputs, 1))
        self.levels = levels

    def _double(self, part: str, level: int, inputs: int, middle: int, outputs: int) -> None:
        total = len(self.style.get("widths", WIDTHS)) - 1
        for index, (one, other) in enumerate(((inputs, middle), (middle, outputs))):
            name = self.style[part](level, index, total)
            self._put(name, nn.Conv2d(one, other, 3, padding=1, bias=not self.norm))
            if self.norm:
                norm = nn.BatchNorm2d(other)
                nn.init.uniform_(norm.weight)
                nn.init.normal_(norm.running_mean)
                self._put(self.style["norm"](name), norm)

    def _put(self, name: str, layer: nn.Module) -> None:
        *folders, last = name.split(".")
        place: nn.Module = self
        for folder in folders:
            if not hasattr(place, folder):
                place.add_module(folder, nn.Module())
            place = getattr(place, folder)
        place.add_module(last, layer)

    def _run(self, part: str, level: int, values: torch.Tensor) -> torch.Tensor:
        for index in range(2):
            name = self.style[part](level, index, self.levels)
            values = self.get_submodule(name)(values)
            if self.norm:
                values = self.get_submodule(self.style["norm"](name))(values)
            values = functional.relu(values)
        return values

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        skips, values = [], self._run("down", 0, tiles)
        for level in range(1, self.levels + 1):
            skips.append(values)
            values = self._run("down", level, functional.max_pool2d(values, 2))
        for step in range(self.levels):
            if self.learnt:
                values = self.get_submodule(self.style["up"](step, self.levels))(values)
            else:
                values = functional.interpolate(
                    values, scale_factor=2, mode="bilinear", align_corners=True
                )
            values = self._run("join", step, torch.cat([skips.pop(), values], 1))
        return self.get_submodule(self.style["head"])(values)


def _next(name: str) -> str:
    before, _, number = name.rpartition(".")
    return f"{before}.{int(number) + 1}"


def _inc_down(level: int, index: int, total: int) -> str:
    block = f"down{level}.maxpool_conv.1" if level else "inc"
    return f"{block}.double_conv.{3 * index}"


STYLES = {
    "inc, down, up, outc": {
        "down": _inc_down,
        "up": lambda step, total: f"up{step + 1}.up",
        "join": lambda step, index, total: f"up{step + 1}.conv.double_conv.{3 * index}",
        "norm": _next,
        "head": "outc.conv",
    },
    "inc, down, up, outc without weights for upsampling": {
        "down": _inc_down,
        "join": lambda step, index, total: f"up{step + 1}.conv.double_conv.{3 * index}",
        "norm": _next,
        "head": "outc.conv",
    },
    "down_convolution, up_transpose": {
        "down": lambda level, index, total: f"down_convolution_{level + 1}.{2 * index}",
        "up": lambda step, total: f"up_transpose_{step + 1}",
        "join": lambda step, index, total: f"up_convolution_{step + 1}.{2 * index}",
        "head": "out",
    },
    "encoder, decoder with falling numbers": {
        "down": lambda level, index, total: (
            f"encoder{level + 1}.enc{level + 1}conv{index + 1}"
            if level < total
            else f"bottleneck.bottleneckconv{index + 1}"
        ),
        "up": lambda step, total: f"upconv{total - step}",
        "join": lambda step, index, total: (
            f"decoder{total - step}.dec{total - step}conv{index + 1}"
        ),
        "norm": lambda name: name.replace("conv", "norm"),
        "head": "conv",
    },
    "lists of downs and ups": {
        "down": lambda level, index, total: (
            f"downs.{level}.conv.{3 * index}" if level < total else f"bottleneck.conv.{3 * index}"
        ),
        "up": lambda step, total: f"ups.{2 * step}",
        "join": lambda step, index, total: f"ups.{2 * step + 1}.conv.{3 * index}",
        "norm": _next,
        "head": "final_conv",
    },
    "letters": {
        "down": lambda level, index, total: f"e{level + 1}{index + 1}",
        "up": lambda step, total: f"upconv{step + 1}",
        "join": lambda step, index, total: f"d{step + 1}{index + 1}",
        "head": "outconv",
    },
}
