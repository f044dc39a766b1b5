from dataclasses import replace

import numpy as np
import pytest
import torch

import napari_tileseg as nts
from napari_tileseg.annotation.vouchings import Vouchings
from napari_tileseg.engine.network import Network
from napari_tileseg.engine.spec import (
    Architecture,
    Normalisation,
    NormalisationKind,
    default_classes,
)
from napari_tileseg.errors import ModelFitError
from napari_tileseg.models import registry
from napari_tileseg.session.learning import finding_of
from napari_tileseg.settings import TeachSettings
from napari_tileseg.training.fine_tune import fine_tune
from napari_tileseg.training.lessons import Lesson
from napari_tileseg.training.new_classes import brings_new, for_labels, with_classes
from stubs import network

SIZE = 128
QUICK = TeachSettings(patch=32, batch=8, augmentation=0.0, device="cpu", precision="fp32")


def _small(outputs: int = 3) -> Network:
    torch.manual_seed(3)
    recipe = Architecture(
        "original-unet", {"padding": "same", "depth": 1, "base_channels": 8, "classes": outputs}
    )
    scaling = Normalisation(NormalisationKind.ZSCORE)
    made = network(registry.build(recipe), outputs=outputs, normalisation=scaling)
    return replace(made, architecture=recipe)


def _logits(model: Network) -> torch.Tensor:
    image = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return model.logits(image)[0]


def test_a_new_class_changes_no_label_before_it_is_learnt() -> None:
    model = _small()
    more = with_classes(model, default_classes(4))
    before, after = _logits(model), _logits(more)
    torch.testing.assert_close(after[:3], before)
    torch.testing.assert_close(after[3], before.mean(0))
    assert torch.equal(after.argmax(0), before.argmax(0))
    assert len(more.classes) == more.spec.n_outputs == 4


def test_classes_that_were_merged_become_their_mean() -> None:
    model = _small()
    two = with_classes(model, default_classes(2), meaning=(0, 1, 1))
    before, after = _logits(model), _logits(two)
    torch.testing.assert_close(after, torch.stack([before[0], before[1:].mean(0)]))


def test_classes_are_found_by_their_names_whatever_their_order() -> None:
    model = _small()
    none, one, two = model.classes
    turned = with_classes(model, (none, two, one))
    torch.testing.assert_close(_logits(turned), _logits(model)[[0, 2, 1]])
    assert turned.classes == (none, two, one)


def test_one_class_less_and_another_one_more_are_as_many_as_before() -> None:
    model = _small()
    other = with_classes(model, default_classes(3), meaning=(0, 1, 1))
    before, after = _logits(model), _logits(other)
    expected = [before[0], before[1:].mean(0), before.mean(0)]
    torch.testing.assert_close(after, torch.stack(expected))


def test_the_network_that_was_given_keeps_its_weights_to_itself() -> None:
    model = _small()
    before = _logits(model).clone()
    more = with_classes(model, default_classes(4))
    with torch.no_grad():
        for weight in more.module.parameters():
            weight.zero_()
    assert torch.equal(_logits(model), before)


def test_only_a_class_that_is_none_of_the_old_ones_is_new() -> None:
    model = _small()
    renamed = tuple(replace(one, name=f"my {one.name}") for one in model.classes)
    assert not brings_new(model, model.classes)
    assert not brings_new(model, renamed)
    assert not brings_new(model, default_classes(2), (0, 1, 1))
    assert brings_new(model, default_classes(4))
    assert brings_new(model, default_classes(3), (0, 1, 1))


def test_labels_beyond_the_classes_ask_for_more_of_them() -> None:
    labels = np.array([[0, 4]], np.uint8)
    found = for_labels(default_classes(3), Vouchings.of(labels, np.ones((1, 2), bool)))
    assert len({one.name for one in found}) == len(found) == 5
    assert found[:3] == tuple(default_classes(3))


def _taught_a_little(base: Network, **more: object) -> Network:
    """Return what the first report's network is: as it starts, all but a hair."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, (SIZE, SIZE)).astype(np.uint8)
    everywhere = np.ones((SIZE, SIZE), bool)
    words = Vouchings.of(truth, everywhere, everywhere)
    lesson = Lesson.of(rng.normal(size=truth.shape).astype(np.float32), words, base.spec)
    settings = QUICK.but(epochs=1, learning_rate=1e-7)
    *_, last = fine_tune(base, [lesson], settings=settings, **more)
    return last.network


def test_the_second_time_too_classes_that_were_merged_become_their_mean() -> None:
    base, two = _small(), default_classes(2)
    active = with_classes(base, two, meaning=(0, 1, 1))
    found = _taught_a_little(base, active=active, classes=two, base_meaning=(0, 1, 1))
    torch.testing.assert_close(_logits(found), _logits(active), atol=1e-3, rtol=0)
    by_name = with_classes(base, two)
    assert (_logits(found) - _logits(by_name)).abs().max() > 0.05


def test_a_model_in_use_is_judged_by_the_names_of_its_classes() -> None:
    model = _small(2)
    turned = (model.classes[1], model.classes[0])
    rng = np.random.default_rng(0)
    image = rng.normal(size=(SIZE, SIZE)).astype(np.float32)
    said = 1 - nts.predict(image, model)  # as numbered in the other order
    mask = np.ones(said.shape, bool)
    mask[:, 44:84] = False
    lesson = Lesson.of(image, Vouchings.of(said, mask, mask), model.spec)
    settings = QUICK.but(epochs=1, learning_rate=1e-7)
    *_, last = fine_tune(model, [lesson], settings=settings, classes=turned)
    # at borders of windows its answers differ a little from those for the whole image
    assert last.verdict.before.dice_of_true > 0.85
    assert last.verdict.after.dice_of_true == pytest.approx(last.verdict.before.dice_of_true)


def test_a_verdict_on_fewer_classes_than_the_model_in_use_has_figures_of_each() -> None:
    base = _small(4)
    three = default_classes(3)
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, (SIZE, SIZE)).astype(np.uint8)
    mask = np.ones(truth.shape, bool)
    mask[:, 44:84] = False
    lesson = Lesson.of(
        rng.normal(size=truth.shape).astype(np.float32),
        Vouchings.of(truth, mask, mask),
        base.spec,
    )
    settings = QUICK.but(epochs=1, learning_rate=1e-7)
    *_, last = fine_tune(base, [lesson], settings=settings, classes=three, meaning=(0, 1, 2, -1))
    assert last.verdict.before is not None
    assert len(finding_of(last.verdict).classes) == 3
    assert len(last.verdict.to_json()["after"]["per_class"]) == 3


def test_a_network_of_unknown_make_cannot_be_given_other_classes() -> None:
    model = replace(_small(), architecture=None)
    with pytest.raises(ModelFitError, match="cannot be given other ones"):
        with_classes(model, default_classes(4))


def test_a_new_class_is_learnt_with_the_settings_as_they_are() -> None:
    rng = np.random.default_rng(0)
    truth = np.zeros((SIZE, SIZE), np.uint8)
    for index, (y, x) in enumerate(rng.integers(0, SIZE - 12, (40, 2))):
        truth[y : y + 12, x : x + 12] = 1 + index % 2
    image = rng.normal(100 + 60 * truth.astype(float), 10).astype(np.float32)
    everywhere = np.ones_like(truth, bool)
    model = _small(2)
    lesson = Lesson.of(image, Vouchings.of(truth.clip(max=1), everywhere), model.spec)
    *_, begun = fine_tune(model, [lesson], settings=QUICK.but(epochs=40, learning_rate=0.01))
    both = lesson.but(Vouchings.of(truth, everywhere))
    *_, last = fine_tune(begun.network, [both], settings=QUICK, classes=default_classes(3))
    found = nts.predict(image, last.network, mode="whole")
    assert (found[truth == 2] == 2).mean() > 0.5
    assert len(last.network.classes) == 3
