import pytest

from napari_tileseg.settings import Layers, TeachSettings, What
from napari_tileseg.training.pace import learning_rates


def test_the_deeper_in_a_network_the_less_it_changes() -> None:
    head, decoder, encoder = learning_rates(TeachSettings(), 100)
    assert head > decoder > encoder > 0


def test_more_steps_are_smaller_ones_and_go_further_all_together() -> None:
    few, many = (learning_rates(TeachSettings(), steps)[0] for steps in (40, 160))
    assert many == pytest.approx(few / 2)
    assert 160 * many > 40 * few


def test_much_to_learn_from_is_not_learnt_ever_more_slowly() -> None:
    assert learning_rates(TeachSettings(), 1000) == learning_rates(TeachSettings(), 100_000)


def test_a_rate_that_a_person_sets_is_that_of_the_head_however_long_it_takes() -> None:
    few, many = (learning_rates(TeachSettings(learning_rate=0.01), steps) for steps in (10, 1000))
    assert few == many
    assert few[0] == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("layers", "count"), [(Layers.HEAD, 1), (Layers.DECODER, 2), (Layers.ALL, 3), (None, 3)]
)
def test_only_parts_that_may_change_have_a_rate(layers: Layers | None, count: int) -> None:
    assert len(learning_rates(TeachSettings(layers=layers), 100)) == count


def test_the_whole_model_moves_further() -> None:
    pairs = zip(
        *(
            learning_rates(TeachSettings(what=what), 100)
            for what in (What.WHOLE_MODEL, What.NEW_DETAILS)
        ),
        strict=True,
    )
    assert all(whole > details for whole, details in pairs)
