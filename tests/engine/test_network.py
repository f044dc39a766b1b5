from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_tileseg.engine.network import interruptible, modules_with_global_context
from napari_tileseg.engine.spec import ModelSpec, Task, default_classes
from napari_tileseg.errors import Cancelled, CheckpointError, NetworkError
from stubs import Echo, echo, network


class Fixed(nn.Module):
    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, tiles):
        return self.answer


def test_the_label_is_the_class_with_the_highest_logit_and_ties_go_to_the_lowest():
    logits = torch.tensor([[[1, 3, 2, 5]], [[1, 4, 2, 0]], [[0, 4, 9, 5]]])
    assert echo(3).decide(logits).tolist() == [[0, 1, 2, 0]]


@pytest.mark.parametrize("classes", [2, 17, 255])
def test_labels_equal_argmax(classes):
    logits = torch.randn(classes, 20, 30)
    assert torch.equal(echo(classes).decide(logits), logits.argmax(0).to(torch.uint8))


def test_one_output_is_foreground_above_the_threshold_never_an_argmax():
    one = network(Echo(), task=Task.BINARY, threshold=0.8)
    logits = torch.logit(torch.tensor([[[0.1, 0.79, 0.81, 0.99]]]))
    assert one.decide(logits).tolist() == [[0, 0, 1, 1]]
    fixed_point = (logits * 2**22).to(torch.int32)
    assert one.decide(fixed_point, unit=2**22).tolist() == [[0, 0, 1, 1]]


def test_a_pixel_can_be_several_classes_at_once():
    several = network(Echo(), outputs=2, channels=2, task=Task.MULTILABEL)
    logits = torch.tensor([[[1.0, -1.0]], [[2.0, -3.0]]])
    assert several.decide(logits).tolist() == [[[True, False]], [[True, False]]]


def test_probabilities_are_one_for_each_class():
    logits = torch.randn(3, 4, 5)
    torch.testing.assert_close(echo(3).probabilities(logits), logits.softmax(0))
    one = network(Echo(), task=Task.BINARY).probabilities(logits[:1])
    torch.testing.assert_close(one.sum(0), torch.ones(4, 5))
    several = network(Echo(), outputs=3, channels=3, task=Task.MULTILABEL)
    torch.testing.assert_close(several.probabilities(logits), logits.sigmoid())


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (torch.zeros(1, 2, 8, 8), r"\(1, 2, 8, 8\).*\(1, 3, 8, 8\).*number of classes"),
        (torch.zeros(1, 3, 4, 4), "architecture"),
        ((torch.zeros(1, 3, 8, 8),), "extra heads"),
        (torch.full((1, 3, 8, 8), torch.nan), "not numbers.*fp32"),
    ],
)
def test_an_answer_that_is_no_segmentation_is_refused(answer, message):
    with pytest.raises(NetworkError, match=message):
        network(Fixed(answer)).logits(torch.zeros(1, 1, 8, 8))


def test_a_network_can_be_stopped_between_two_layers():
    layers = nn.Sequential(*(nn.Identity() for _ in range(10)))
    asked = []

    def stop_at_the_fifth():
        asked.append(1)
        return len(asked) > 5

    with interruptible(layers, stop_at_the_fifth), pytest.raises(Cancelled):
        layers(torch.zeros(1))
    assert len(asked) == 6
    layers(torch.zeros(1))
    assert len(asked) == 6


def test_layers_that_look_at_everything_are_named():
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.InstanceNorm2d(4), nn.AdaptiveAvgPool2d(1))
    assert modules_with_global_context(module) == ("1 (InstanceNorm2d)", "2 (AdaptiveAvgPool2d)")
    assert modules_with_global_context(nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))) == ()


def test_the_pooling_left_over_from_a_classifier_does_not_count():
    encoder = nn.Sequential(nn.Conv2d(1, 4, 3))
    encoder.add_module("global_pool", nn.AdaptiveAvgPool2d(1))
    assert modules_with_global_context(nn.Sequential(encoder)) == ()


def test_a_description_survives_being_written_down():
    spec = network(Echo(), task=Task.BINARY, pixel_size_um=0.25, threshold=0.4).spec
    assert ModelSpec.from_dict(spec.to_dict()) == spec


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"classes": default_classes(300)}, "between 1 and 255"),
        ({"classes": default_classes(3), "task": Task.BINARY}, "needs two names"),
        ({"channels": ()}, "no channel"),
        ({"threshold": 0.0}, "threshold"),
    ],
)
def test_impossible_descriptions_are_refused(values, message):
    with pytest.raises(CheckpointError, match=message):
        ModelSpec(**{"name": "stub", "classes": default_classes(2), **values})


def test_a_description_from_elsewhere_is_refused():
    with pytest.raises(CheckpointError, match="newer version"):
        ModelSpec.from_dict({"name": "x"})


def test_default_colours_differ():
    colours = [one.colour for one in default_classes(40)]
    assert len(set(colours)) == 40
    assert all(len(colour) == 7 and colour[0] == "#" for colour in colours)
