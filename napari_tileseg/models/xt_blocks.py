"""What the context encoder of xT is made of: blocks of attention, and where tokens lie."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

_WAVELENGTHS = 10_000.0


class Block(nn.Module):
    """Attention, then a gated layer for each token by itself; each adds to what it reads.

    Normalised by the root of the mean square (Zhang & Sennrich, 2019, arXiv:1910.07467); the
    gate is that of Shazeer, "GLU variants improve transformer" (2020, arXiv:2002.05202).

    Parameters
    ----------
    dim
        How many numbers a token has; a multiple of `heads`.
    heads
        How many attentions run side by side.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        hidden = 8 * dim // 3
        self.norm = nn.RMSNorm(dim)
        self.ask = nn.Linear(dim, dim, bias=False)
        self.offer = nn.Linear(dim, 2 * dim, bias=False)
        self.mix = nn.Linear(dim, dim, bias=False)
        self.second_norm = nn.RMSNorm(dim)
        self.gate = nn.Linear(dim, 2 * hidden, bias=False)
        self.back = nn.Linear(hidden, dim, bias=False)

    def offered(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return keys and values (..., 2 dim) of tokens (..., dim), for whoever asks."""
        offered: torch.Tensor = self.offer(self.norm(tokens))
        return offered

    def forward(
        self, tokens: torch.Tensor, offered: torch.Tensor, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return what becomes of tokens that look at others.

        Parameters
        ----------
        tokens
            (B, n, dim), those that ask.
        offered
            (B, m, 2 dim), keys and values of those that are asked.
        weights
            (m,), the logarithm of how many tokens each of these stands for; None for one each.
        """
        asked = self._by_head(self.ask(self.norm(tokens)))
        keys, values = (self._by_head(part) for part in offered.chunk(2, dim=-1))
        mask = None if weights is None else weights.to(asked.dtype).expand(tokens.shape[1], -1)
        heard = functional.scaled_dot_product_attention(asked, keys, values, attn_mask=mask)
        tokens = tokens + self.mix(heard.transpose(1, 2).flatten(2))
        values, gate = self.gate(self.second_norm(tokens)).chunk(2, dim=-1)
        changed: torch.Tensor = tokens + self.back(values * functional.silu(gate))
        return changed

    def _by_head(self, tokens: torch.Tensor) -> torch.Tensor:
        return torch.unflatten(tokens, -1, (self.heads, -1)).transpose(1, 2)


def places(rows: torch.Tensor, columns: torch.Tensor, dim: int) -> torch.Tensor:
    """Return what tells tokens where they lie: sines and cosines of their place in the image.

    Vaswani et al., "Attention is all you need" (2017), section 3.5, half of the numbers for each
    axis.

    Parameters
    ----------
    rows, columns
        (n,) and (m,), in cells of the coarsest level, from the corner of the image.
    dim
        How many numbers a token has; a multiple of 4.

    Returns
    -------
    (n, m, dim) float32.
    """
    quarter = dim // 4
    steps = torch.arange(quarter, dtype=torch.float32, device=rows.device) / quarter
    frequencies = _WAVELENGTHS**-steps
    down, across = (place.float()[:, None] * frequencies for place in (rows, columns))
    down, across = (torch.cat([turn.sin(), turn.cos()], dim=-1) for turn in (down, across))
    n, m = len(rows), len(columns)
    return torch.cat([down[:, None].expand(n, m, -1), across[None].expand(n, m, -1)], dim=-1)
