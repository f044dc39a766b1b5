import numpy as np
import pytest
import torch

from napari_tileseg.engine.spec import Task
from napari_tileseg.settings import ClassWeights, Loss, LossSettings
from napari_tileseg.training.losses import balanced_weights, segmentation_loss

LOSSES = list(Loss)
TASKS = [(Task.MULTICLASS, 3), (Task.BINARY, 1)]


def _case(task: Task, outputs: int, unknown: float = 0.5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    logits = torch.randn(2, outputs, 12, 10, generator=generator)
    target = torch.randint(max(outputs, 2), (2, 12, 10), generator=generator)
    target[torch.rand(target.shape, generator=generator) < unknown] = 255
    return logits.requires_grad_(), target


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("task", "outputs"), TASKS)
def test_unseen_pixels_cost_nothing(task: Task, outputs: int, loss: Loss) -> None:
    logits, target = _case(task, outputs)
    value = segmentation_loss(logits, target, task=task, loss=loss)
    value.backward()
    unseen = (target == 255)[:, None].expand_as(logits)
    assert (logits.grad[unseen] == 0).all()
    assert (logits.grad[~unseen] != 0).any()
    other = torch.where(unseen, torch.full_like(logits, 40.0), logits)
    assert segmentation_loss(other, target, task=task, loss=loss) == value


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("task", "outputs"), TASKS)
def test_a_batch_in_which_nothing_is_known_costs_nothing(
    task: Task, outputs: int, loss: Loss
) -> None:
    logits, target = _case(task, outputs, unknown=1.1)
    value = segmentation_loss(logits, target, task=task, loss=loss)
    value.backward()
    assert value == 0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("bad", [torch.inf, -torch.inf, torch.nan])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("task", "outputs"), TASKS)
def test_no_number_under_an_unseen_pixel_has_any_influence(
    task: Task, outputs: int, loss: Loss, bad: float
) -> None:
    logits, target = _case(task, outputs)
    unseen = (target == 255)[:, None].expand_as(logits)
    broken = torch.where(unseen, bad, logits.detach()).requires_grad_()
    weights = torch.rand(target.shape, generator=torch.Generator().manual_seed(1))
    how = LossSettings(loss=loss, focal_gamma=0.5, focal_alpha=0.3)
    options = {
        "task": task,
        "settings": how,
        "class_weights": torch.tensor([1.0, 5.0, 2.0]),
        "pixel_weights": torch.where(target == 255, bad, weights),
    }
    value = segmentation_loss(broken, target, **options)
    value.backward()
    expected = segmentation_loss(logits, target, **options)
    expected.backward()
    assert value == expected
    assert (broken.grad[unseen] == 0).all()
    torch.testing.assert_close(broken.grad, logits.grad)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("task", "outputs"), TASKS)
def test_the_right_answer_costs_nearly_nothing_and_the_wrong_one_much(
    task: Task, outputs: int, loss: Loss
) -> None:
    _, target = _case(task, outputs, unknown=0.0)
    if task is Task.BINARY:
        right = (target[:, None] * 2.0 - 1) * 30
    else:
        right = torch.nn.functional.one_hot(target, outputs).movedim(-1, 1) * 30.0
    assert segmentation_loss(right, target, task=task, loss=loss) < 1e-3
    assert segmentation_loss(-right, target, task=task, loss=loss) > 0.3


def test_cross_entropy_is_the_mean_over_known_pixels_only() -> None:
    logits, target = _case(Task.MULTICLASS, 3)
    expected = torch.nn.functional.cross_entropy(logits, target, ignore_index=255)
    torch.testing.assert_close(segmentation_loss(logits, target, loss=Loss.CE), expected)


def test_dice_leaves_out_classes_that_are_not_there() -> None:
    target = torch.zeros(1, 8, 8, dtype=torch.long)
    logits = torch.zeros(1, 3, 8, 8)
    share = 64 / 3  # what softmax gives the only class there is, summed up
    expected = 1 - (2 * share + 1) / (share + 64 + 1)
    value = segmentation_loss(logits, target, loss=Loss.DICE)
    assert value.item() == pytest.approx(expected, rel=1e-5)


def _known_case(
    task: Task = Task.MULTICLASS, outputs: int = 3
) -> tuple[torch.Tensor, torch.Tensor]:
    logits, target = _case(task, outputs, unknown=0.0)
    return logits.detach(), target


def test_dice_is_that_of_smp() -> None:
    losses = pytest.importorskip("segmentation_models_pytorch.losses")
    logits, target = _case(Task.MULTICLASS, 3)
    theirs = losses.DiceLoss("multiclass", smooth=0.5, ignore_index=255)(logits, target)
    ours = segmentation_loss(logits, target, loss=Loss.DICE)
    torch.testing.assert_close(ours, theirs)


def test_binary_dice_is_that_of_smp() -> None:
    losses = pytest.importorskip("segmentation_models_pytorch.losses")
    logits, target = _known_case(Task.BINARY, 1)
    theirs = losses.DiceLoss("binary", smooth=0.5)(logits, target)
    ours = segmentation_loss(logits, target, task=Task.BINARY, loss=Loss.DICE)
    torch.testing.assert_close(ours, theirs)


def test_binary_focal_loss_is_that_of_smp() -> None:
    losses = pytest.importorskip("segmentation_models_pytorch.losses")
    logits, target = _case(Task.BINARY, 1)
    theirs = losses.FocalLoss("binary", alpha=0.3, gamma=2.0, ignore_index=255)(logits, target)
    how = LossSettings(loss=Loss.FOCAL, focal_alpha=0.3, focal_gamma=2.0)
    ours = segmentation_loss(logits, target, task=Task.BINARY, settings=how)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("alpha", [None, 0.3])
def test_focal_loss_of_classes_is_that_of_monai(alpha: float | None) -> None:
    losses = pytest.importorskip("monai.losses")
    logits, target = _known_case()
    focal = losses.FocalLoss(
        to_onehot_y=True, use_softmax=True, gamma=1.5, alpha=alpha, include_background=True
    )
    theirs = focal(logits, target[:, None]) * 3  # a mean over the classes too
    how = LossSettings(loss=Loss.FOCAL, focal_alpha=alpha, focal_gamma=1.5)
    torch.testing.assert_close(segmentation_loss(logits, target, settings=how), theirs)


def test_generalised_dice_is_that_of_monai() -> None:
    losses = pytest.importorskip("monai.losses")
    logits, target = _known_case()
    theirs = losses.GeneralizedDiceLoss(
        to_onehot_y=True, softmax=True, batch=True, smooth_nr=0.0, smooth_dr=0.0
    )(logits, target[:, None])
    ours = segmentation_loss(logits, target, loss=Loss.GENERALISED_DICE)
    torch.testing.assert_close(ours, theirs.squeeze())


def test_focal_loss_without_gamma_is_cross_entropy() -> None:
    logits, target = _case(Task.MULTICLASS, 3)
    how = LossSettings(loss=Loss.FOCAL, focal_gamma=0.0)
    expected = segmentation_loss(logits, target, loss=Loss.CE)
    torch.testing.assert_close(segmentation_loss(logits, target, settings=how), expected)


@pytest.mark.parametrize(
    ("both", "other"), [(Loss.DICE_CE, Loss.CE), (Loss.DICE_FOCAL, Loss.FOCAL)]
)
def test_dice_is_added_as_often_as_its_weight_says(both: Loss, other: Loss) -> None:
    logits, target = _case(Task.MULTICLASS, 3)
    how = LossSettings(loss=both, dice_weight=0.25)
    parts = [segmentation_loss(logits, target, loss=one) for one in (Loss.DICE, other)]
    expected = 0.25 * parts[0] + parts[1]
    torch.testing.assert_close(segmentation_loss(logits, target, settings=how), expected)


@pytest.mark.parametrize("loss", [Loss.CE, Loss.FOCAL])
def test_a_class_that_weighs_nothing_has_no_influence(loss: Loss) -> None:
    logits, target = _case(Task.MULTICLASS, 3)
    weights = torch.tensor([1.0, 0.0, 2.0])
    value = segmentation_loss(logits, target, loss=loss, class_weights=weights)
    without = torch.where(target == 1, 255, target)
    expected = segmentation_loss(logits, without, loss=loss, class_weights=weights)
    torch.testing.assert_close(value, expected)


def test_class_weights_are_those_of_torch() -> None:
    logits, target = _case(Task.MULTICLASS, 3)
    weights = torch.tensor([1.0, 4.0, 0.5])
    value = segmentation_loss(logits, target, loss=Loss.CE, class_weights=weights)
    expected = torch.nn.functional.cross_entropy(logits, target, weights, ignore_index=255)
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("task", "outputs"), TASKS)
def test_a_pixel_that_weighs_nothing_is_as_good_as_unknown(
    task: Task, outputs: int, loss: Loss
) -> None:
    logits, target = _known_case(task, outputs)
    light = torch.arange(target.numel()).view(target.shape) % 3 == 0
    value = segmentation_loss(logits, target, task=task, loss=loss, pixel_weights=(~light).float())
    expected = segmentation_loss(logits, torch.where(light, 255, target), task=task, loss=loss)
    torch.testing.assert_close(value, expected)


def test_balanced_classes_count_the_same_together() -> None:
    mask = np.array([0] * 60 + [1] * 30 + [2] * 10 + [255] * 7, np.uint8)
    weights = balanced_weights([mask], 3)
    assert weights is not None
    totals = weights * torch.tensor([60, 30, 10])
    torch.testing.assert_close(totals, totals[:1].expand(3))
    assert balanced_weights([mask], 3, ClassWeights.EQUAL) is None


def test_no_class_counts_more_than_twenty_times_as_much() -> None:
    mask = np.zeros(100_000, np.uint8)
    mask[:3] = 1
    weights = balanced_weights([mask], 3)
    assert weights is not None
    assert weights.tolist() == [1.0, 20.0, 1.0]


def _learnt(loss: Loss, weights: ClassWeights = ClassWeights.EQUAL) -> float:
    """Return the Dice of 1 % foreground after a short training with a given loss."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.zeros(4, 64, 64, dtype=torch.long)
    for one, (y, x) in zip(truth, torch.randint(4, 52, (4, 2), generator=generator), strict=True):
        one[y : y + 7, x : x + 6] = 1  # 42 of 4096 pixels
    image = truth[:, None] * 1.0 + torch.randn(4, 1, 64, 64, generator=generator) * 0.7
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 5, padding=2), torch.nn.ReLU(), torch.nn.Conv2d(8, 2, 1)
    )
    counted = balanced_weights([truth.numpy().astype(np.uint8)], 2, weights)
    optimiser = torch.optim.Adam(module.parameters(), lr=0.02)
    for _ in range(120):
        optimiser.zero_grad()
        segmentation_loss(module(image), truth, loss=loss, class_weights=counted).backward()
        optimiser.step()
    found = module(image).argmax(1)
    both = ((found == 1) & (truth == 1)).sum()
    return float(2 * both / ((found == 1).sum() + (truth == 1).sum()))


def test_one_percent_foreground_is_found_earlier_than_by_cross_entropy() -> None:
    scores = {loss: _learnt(loss) for loss in LOSSES}
    assert scores.pop(Loss.CE) < 0.2
    assert min(scores.values()) > 0.6, scores
    assert _learnt(Loss.CE, ClassWeights.BALANCED) > 0.6
