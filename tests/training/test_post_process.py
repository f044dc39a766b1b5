import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import napari_tileseg as nts
from napari_tileseg.errors import NetworkError, SettingsError
from stubs import echo


@settings(max_examples=30, deadline=None)
@given(
    classes=st.integers(2, 7),
    batch=st.none() | st.integers(1, 3),
    seed=st.integers(0, 2**31),
)
def test_the_class_with_the_highest_logit_wins(classes: int, batch: int | None, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    shape = (classes, 5, 8) if batch is None else (batch, classes, 5, 8)
    logits = torch.randint(-3, 4, shape, generator=generator).float()  # with many ties
    labels = nts.post_process(logits)
    assert labels.dtype == torch.uint8
    assert labels.shape == (shape[-2:] if batch is None else (batch, 5, 8))
    assert (labels.numpy() == logits.numpy().argmax(-3)).all()  # numpy takes the first of equals


def test_arrays_stay_arrays() -> None:
    logits = np.random.default_rng(0).normal(size=(3, 6, 7)).astype(np.float32)
    labels = nts.post_process(logits)
    assert isinstance(labels, np.ndarray)
    assert labels.dtype == np.uint8
    assert (labels == logits.argmax(0)).all()


@pytest.mark.parametrize("shape", [(1, 2, 3), (2, 1, 2, 3)])
def test_a_single_channel_is_foreground_above_the_threshold(shape: tuple[int, ...]) -> None:
    logits = torch.full(shape, -0.1)
    logits[..., 0, :] = 0.1
    logits[..., 1, 0] = 0.0
    expected = torch.tensor([[1, 1, 1], [0, 0, 0]], dtype=torch.uint8)
    assert (nts.post_process(logits) == expected).all()
    assert nts.post_process(logits).shape == (shape[-2:] if len(shape) == 3 else (2, 2, 3))
    assert not nts.post_process(logits, threshold=0.9).any()
    assert nts.post_process(logits, threshold=0.1).all()


def test_it_gives_the_labels_of_a_run() -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (40, 56, 3), dtype=np.uint8)
    logits = torch.from_numpy(pixels).movedim(-1, 0).float()
    assert (nts.post_process(logits).numpy() == nts.predict(pixels, echo())).all()


@pytest.mark.parametrize(
    ("logits", "said"),
    [
        (torch.zeros(4, 5), "has to be classes"),
        (torch.zeros(0, 4, 5), "has to be classes"),
        (torch.zeros(256, 4, 5), "256 classes"),
        (torch.zeros(3, 4, 5, dtype=torch.uint8), "before argmax"),
        (torch.full((3, 4, 5), float("nan")), "before argmax"),
    ],
)
def test_what_are_no_logits_is_refused(logits: torch.Tensor, said: str) -> None:
    with pytest.raises(NetworkError, match=said):
        nts.post_process(logits)


@pytest.mark.parametrize("threshold", [0.0, 1.0, -1.0, float("nan")])
def test_a_threshold_that_is_no_probability_is_refused(threshold: float) -> None:
    with pytest.raises(SettingsError, match="between 0 and 1"):
        nts.post_process(torch.zeros(1, 4, 5), threshold=threshold)
