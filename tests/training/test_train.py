import math
from itertools import islice, pairwise

import numpy as np
import pytest
import torch
from torch import nn

from napari_tileseg.engine.device import fast_precision
from napari_tileseg.engine.network import Network
from napari_tileseg.engine.spec import Normalisation, NormalisationKind, Task
from napari_tileseg.errors import ImageError, ModelFitError, NetworkError, SettingsError
from napari_tileseg.settings import Precision, TeachSettings, TrainSettings
from napari_tileseg.training.samples import Sample
from napari_tileseg.training.start import new_network
from napari_tileseg.training.train import TrainReport, train
from stubs import echo, network, small_conv

QUICK = TrainSettings(
    epochs=4, patch=32, batch=4, learning_rate=0.03, device="cpu", precision=Precision.FP32
)


def _tiny(task: Task = Task.MULTICLASS) -> Network:
    torch.manual_seed(0)
    outputs = 1 if task is Task.BINARY else 2
    module = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, outputs, 1)
    )
    scaling = Normalisation(NormalisationKind.ZSCORE)
    return network(module, outputs=2, task=task, normalisation=scaling)


def _samples(model: Network, seed: int = 0, count: int = 2) -> list[Sample]:
    """Return noisy images in which bright squares are class 1."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        mask = np.zeros((96, 96), np.uint8)
        for y, x in rng.integers(0, 76, (6, 2)):
            mask[y : y + 20, x : x + 20] = 1
        pixels = rng.normal(100 + 80 * mask, 15).astype(np.float32)
        found.append(Sample.of(pixels, mask, model.spec))
    return found


def _run(model: Network, settings: TrainSettings = QUICK, **more: object) -> list[TrainReport]:
    return list(train(model, _samples(model), settings=settings, **more))  # type: ignore[arg-type]


@pytest.mark.parametrize("task", [Task.MULTICLASS, Task.BINARY])
def test_training_lowers_the_loss_and_finds_the_squares(task: Task) -> None:
    model = _tiny(task)
    settings = QUICK.but(epochs=12)
    reports = _run(model, settings, validation=_samples(model, seed=9, count=1))
    losses = [report.loss for report in reports]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])
    scores = [report.validation.miou for report in reports if report.validation]
    assert max(scores) > 0.85
    assert reports[-1].progress == 1


def test_the_best_is_the_one_with_the_highest_score() -> None:
    model = _tiny()
    reports = _run(model, validation=_samples(model, seed=9, count=1))
    best = -math.inf
    for report in reports:
        if report.validation is None:
            assert report.best is None
            continue
        assert (report.best is not None) == (report.validation.miou > best)
        best = max(best, report.validation.miou)


def test_without_validation_the_last_is_the_best() -> None:
    reports = _run(_tiny())
    assert reports[-1].best is not None
    assert not reports[-1].best.module.training


def test_the_network_it_starts_from_is_not_changed() -> None:
    model = _tiny()
    before = {name: one.clone() for name, one in model.module.state_dict().items()}
    reports = _run(model)
    after = model.module.state_dict()
    assert all((after[name] == one).all() for name, one in before.items())
    trained = reports[-1].best
    assert trained is not None
    assert trained.spec == model.spec
    assert any((trained.module.state_dict()[n] != one).any() for n, one in before.items())


def test_each_best_has_weights_of_its_own() -> None:
    bests = [report.best for report in _run(_tiny()) if report.best]
    weights = [best.module.state_dict()["0.weight"] for best in bests]
    assert len(bests) > 2
    assert all((a != b).any() for a, b in pairwise(weights))


def test_equal_seeds_give_equal_runs() -> None:
    runs = [[r.loss for r in _run(_tiny(), QUICK.but(seed=seed))] for seed in (3, 3, 4)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_closing_the_stream_stops_at_once() -> None:
    model = _tiny()
    stream = train(model, _samples(model), settings=QUICK.but(epochs=100_000))
    steps = [report.step for report in islice(stream, 3)]
    stream.close()
    assert steps == [1, 2, 3]
    assert next(stream, None) is None


def test_time_ends_training_too() -> None:
    reports = _run(_tiny(), TrainSettings(minutes=0.01, patch=32, batch=2, device="cpu"))
    assert reports[-1].progress == 1
    assert reports[-1].best is not None


class _Breaking(nn.Module):
    """Gives what is no number from the n-th time on."""

    def __init__(self, inner: nn.Module, after: int) -> None:
        super().__init__()
        self.inner, self.after, self.calls = inner, after, 0

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.inner(tiles)
        self.calls += self.training
        return answer * math.nan if self.calls > self.after else answer


def test_three_losses_in_a_row_that_are_no_number_stop_it_and_keep_the_best() -> None:
    tiny = _tiny()
    model = Network(_Breaking(tiny.module, after=12), tiny.spec)
    reports = _run(model, QUICK.but(epochs=20))
    assert [math.isnan(report.loss) for report in reports[-4:]] == [False, True, True, True]
    assert "learning rate below 0.03" in reports[-1].stopped
    bests = [report.best for report in reports if report.best]
    assert bests
    for value in bests[-1].module.state_dict().values():
        assert torch.isfinite(value).all()


def test_without_any_result_a_loss_that_is_no_number_is_an_error() -> None:
    tiny = _tiny()
    with pytest.raises(NetworkError, match="There is no result yet"):
        _run(Network(_Breaking(tiny.module, after=0), tiny.spec))


def test_masks_that_say_nothing_are_refused() -> None:
    model = _tiny()
    empty = Sample.of(np.zeros((40, 40)), np.full((40, 40), 255, np.uint8), model.spec)
    with pytest.raises(ModelFitError, match="nothing to learn"):
        next(train(model, [empty], settings=QUICK))
    with pytest.raises(ImageError, match="no image"):
        next(train(model, [], settings=QUICK))


def test_validation_masks_that_say_nothing_are_refused() -> None:
    model = _tiny()
    empty = Sample.of(np.zeros((40, 40)), np.full((40, 40), 255, np.uint8), model.spec)
    with pytest.raises(ModelFitError, match="best model cannot be chosen"):
        _run(model, validation=[empty])


@pytest.mark.parametrize("task", [Task.MULTICLASS, Task.BINARY])
@pytest.mark.parametrize("where", ["samples", "validation"])
def test_foreground_that_was_saved_as_255_is_refused(task: Task, where: str) -> None:
    model = _tiny(task)
    good = _samples(model)
    wrong = [Sample.of(np.zeros((96, 96)), one.mask * np.uint8(255), model.spec) for one in good]
    samples, validation = (wrong, []) if where == "samples" else (good, wrong)
    with pytest.raises(ModelFitError, match="255 means unknown here; save foreground as 1"):
        next(train(model, samples, validation=validation, settings=QUICK))


def test_one_mask_without_foreground_among_others_is_learnt_from() -> None:
    model = _tiny()
    mask = np.zeros((96, 96), np.uint8)
    mask[:40] = 255
    empty = Sample.of(np.zeros((96, 96)), mask, model.spec)
    assert next(train(model, [*_samples(model), empty], settings=QUICK)).step == 1


class _Pooling(nn.Module):
    """Normalises the mean of each patch, as networks with a global context do."""

    def __init__(self, norm: type[nn.Module]) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 2, 3, padding=1), norm(2)

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.first(tiles)
        return features + self.norm(features.mean((2, 3), keepdim=True))  # type: ignore[no-any-return]


@pytest.mark.parametrize(("norm", "batch"), [(nn.BatchNorm2d, 1), (nn.InstanceNorm2d, 4)])
def test_a_batch_that_leaves_one_value_to_normalise_is_refused(
    norm: type[nn.Module], batch: int
) -> None:
    model = network(_Pooling(norm), outputs=2)
    with pytest.raises(SettingsError, match="Choose a --batch of at least 2"):
        _run(model, QUICK.but(batch=batch))


def test_a_batch_of_two_patches_is_enough_to_normalise() -> None:
    reports = _run(network(_Pooling(nn.BatchNorm2d), outputs=2), QUICK.but(batch=2, epochs=1))
    assert reports[-1].best is not None


def test_a_model_with_several_classes_a_pixel_is_refused() -> None:
    model = small_conv(task=Task.MULTILABEL)
    sample = Sample.of(np.zeros((40, 40)), np.zeros((40, 40), np.uint8), model.spec)
    with pytest.raises(ModelFitError, match="several classes at once"):
        next(train(model, [sample], settings=QUICK))


@pytest.mark.parametrize(
    ("spec", "said"), [({"margin": 4}, "4 px less on every side.*same"), ({"dims": 3}, "volumes")]
)
def test_a_model_that_does_not_answer_for_all_of_a_patch_is_refused(
    spec: dict[str, int], said: str
) -> None:
    sample = Sample.of(np.zeros((40, 40)), np.zeros((40, 40), np.uint8), small_conv().spec)
    with pytest.raises(ModelFitError, match=said):
        next(train(echo(1, task=Task.BINARY, **spec), [sample], settings=QUICK))


def test_a_new_network_without_an_encoder_takes_no_weights_for_one() -> None:
    options = {"architecture": "original-unet", "arguments": {"depth": 2, "padding": "same"}}
    model = new_network("m", ["cell"], ["grey"], **options)
    assert (model.spec.stride, model.spec.margin, model.spec.n_outputs) == (4, 0, 1)
    with pytest.raises(SettingsError, match="has no encoder"):
        new_network("m", ["cell"], ["grey"], encoder_weights="lite0-package", **options)


def test_precision_is_one_that_the_device_has() -> None:
    assert fast_precision(torch.device("cpu")) in (Precision.BF16, Precision.FP32)


@pytest.mark.parametrize("precision", ["fp16", "bf16-decoder"])
@pytest.mark.parametrize("settings", [TrainSettings(), TeachSettings()])
def test_formats_that_nothing_learns_in_are_refused(
    settings: TrainSettings | TeachSettings, precision: str
) -> None:
    with pytest.raises(SettingsError, match="one of: auto, fp32, bf16"):
        settings.but(precision=precision)


def test_a_patch_off_the_stride_is_refused() -> None:
    model = small_conv(stride=32)
    with pytest.raises(SettingsError, match=r"100 px, .* choose 96 or 128"):
        _run(model, QUICK.but(patch=100))
