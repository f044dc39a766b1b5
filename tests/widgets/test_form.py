"""The form made from a settings class; no viewer needed."""

from dataclasses import dataclass

import pytest

from napari_tileseg.knobs import Settings, knob
from napari_tileseg.settings import Blend, Mode, RunSettings, TrainSettings
from napari_tileseg.widgets.form import SettingsForm

DEVICES = {"device": [("auto", "Automatic"), ("cpu", "CPU")]}


@pytest.fixture
def asked():
    return []


@pytest.fixture
def form(qapp, asked):
    made = SettingsForm(RunSettings(), leave_out=("channels",), choices=DEVICES)
    made.settings_requested.connect(asked.append)
    return made


def type_into(form, name, text):
    editor = form.field(name).widget.native.lineEdit()
    editor.setText(text)
    editor.editingFinished.emit()


@pytest.mark.parametrize(
    "settings",
    [
        RunSettings(),
        RunSettings(tile=600, overlap=0.3, blend="hann", batch=7),
        RunSettings(mode=Mode.WHOLE, probabilities=True, precision="bf16", device="cpu"),
        RunSettings(mode="calibrated", tolerance=0.0005, memory_gb=2.5),
        RunSettings(tta="d4", tta_mean="probabilities", compile=True, skip_empty=True),
    ],
)
def test_every_value_is_shown_and_given_back(form, asked, settings):
    form.show(settings)
    shown = {name: form.field(name).get() for name in settings.knobs() if name != "channels"}
    assert RunSettings(**shown) == settings
    assert asked == []


def test_every_knob_has_its_label_and_its_help(form):
    for name, one in RunSettings.knobs().items():
        if name != "channels":
            widget = form.field(name).widget
            assert one.label in (widget.label, getattr(widget, "text", ""))
            assert widget.tooltip == one.help


def test_what_nothing_can_be_learnt_in_is_not_offered_for_learning(form):
    def offered(one):
        box = one.field("precision").widget.native
        return {box.itemText(index) for index in range(box.count())}

    learning = SettingsForm(TrainSettings(), choices=DEVICES)
    assert offered(form) - offered(learning) == {"Half (fp16)", "Half, encoder full (bf16)"}


def test_a_change_is_announced_as_settings(form, asked):
    form.field("overlap").widget.value = 50
    form.field("blend").widget.native.setCurrentText("Hann")
    assert asked == [RunSettings(overlap=0.5), RunSettings(blend=Blend.HANN)]


def test_a_small_share_is_typed_in_percent(form, asked):
    assert form.field("tolerance").widget.native.text().endswith("%")
    form.field("tolerance").widget.value = 0.05
    assert asked == [RunSettings(tolerance=0.0005)]


def test_a_number_that_is_not_on_the_list_can_be_typed(form, asked):
    type_into(form, "tile", "600")
    assert asked == [RunSettings(tile=600)]
    assert form.field("tile").widget.native.currentText() == "600 px"


def test_a_number_out_of_bounds_becomes_the_nearest_one(form, asked):
    type_into(form, "tile", "999999")
    assert asked == [RunSettings(tile=16384)]


@pytest.mark.parametrize("nonsense", ["", "many", "-"])
def test_nonsense_that_was_typed_changes_nothing(form, asked, nonsense):
    before = form.field("tile").widget.native.currentText()
    type_into(form, "tile", nonsense)
    assert asked == []
    assert form.field("tile").widget.native.currentText() == before


def test_automatic_says_what_it_stands_for(form):
    form.show(RunSettings(), {"tile": "512 px"})
    assert form.field("tile").widget.native.currentText() == "Automatic · 512 px"
    assert form.field("blend").widget.native.currentText() == "Automatic · Gaussian"


def test_other_devices_leave_the_chosen_one(form, asked):
    form.show(RunSettings(device="cpu"))
    form.field("device").set_options([("auto", "Automatic · A"), ("cuda:0", "A"), ("cpu", "CPU")])
    assert form.field("device").get() == "cpu"
    assert asked == []


def test_advanced_knobs_are_apart(form):
    assert "Precision" not in labels_in(form.main)
    assert "Precision" in labels_in(form.advanced)


def labels_in(widget):
    from qtpy.QtWidgets import QLabel

    return {label.text() for label in widget.findChildren(QLabel)}


def test_settings_that_contradict_each_other_are_refused_and_taken_back(qapp):
    @dataclass(frozen=True, repr=False)
    class Fussy(Settings):
        low: int = knob(1, "Low", "", minimum=0, maximum=10)

        def __post_init__(self):
            super().__post_init__()
            if self.low == 7:
                from napari_tileseg.errors import SettingsError

                raise SettingsError("Not seven.")

    form = SettingsForm(Fussy())
    problems = []
    form.problem_found.connect(problems.append)
    form.field("low").widget.value = 7
    assert problems == ["Not seven."]
    assert form.field("low").get() == 1


def test_the_settings_of_training_make_a_form_too(qapp):
    form = SettingsForm(TrainSettings())
    shown = {name: form.field(name).get() for name in TrainSettings.knobs()}
    assert TrainSettings(**shown) == TrainSettings()
