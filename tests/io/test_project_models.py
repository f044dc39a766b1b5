"""Networks in a project: each under the digest of its file, whatever happens to the folder."""

import pytest
import torch

from napari_tileseg.engine.network import Network
from napari_tileseg.engine.spec import Architecture, ModelSpec, default_classes
from napari_tileseg.errors import CheckpointError, ProjectError
from napari_tileseg.io.project import Project
from napari_tileseg.models import registry
from tests.stubs import small_conv

RECIPE = Architecture(
    "original-unet",
    {"in_channels": 1, "classes": 3, "depth": 1, "base_channels": 4, "padding": "same"},
)


def a_network(seed=0):
    torch.manual_seed(seed)
    spec = ModelSpec("cells", default_classes(3), channels=("grey",), stride=2, tile=32)
    return Network(registry.build(RECIPE).eval(), spec, RECIPE, {"steps": 3})


def require_equal(one, other):
    for (name, a), b in zip(
        one.module.state_dict().items(), other.module.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name


@pytest.fixture
def project(tmp_path):
    return Project.create(tmp_path / "a.tileseg", {})


def again(project):
    project.close()
    return Project.open(project.path)


def test_a_network_comes_back_bit_by_bit_with_the_facts_about_it(project):
    network = a_network()
    digest = project.write_model(network, {"note": "first"})
    project = again(project)
    require_equal(project.read_model(digest), network)
    assert project.models == {digest: {"note": "first"}}
    assert project.read_model(digest).provenance["steps"] == 3


def test_equal_networks_take_room_once(project):
    assert project.write_model(a_network(), {}) == project.write_model(a_network(), {})
    project.write_model(a_network(1), {})
    assert len(list((project.path / "models").iterdir())) == 2


def test_a_network_that_was_damaged_or_taken_away_is_told(project):
    digest = project.write_model(a_network(), {})
    path = project.model_path(digest)
    other = project.model_path(project.write_model(a_network(1), {}))
    path.write_bytes(other.read_bytes())
    with pytest.raises(ProjectError, match="changed or damaged"):
        project.read_model(digest)
    path.unlink()
    with pytest.raises(ProjectError, match=r"not in .* any more"):
        project.read_model(digest)


def test_what_cannot_be_built_again_is_refused_and_leaves_nothing(project):
    with pytest.raises(CheckpointError, match="cannot be saved"):
        project.write_model(small_conv(), {})
    assert not list((project.path / "models").iterdir())
    assert not project.models


def test_what_a_program_left_that_ended_while_writing_is_cleared_up(project):
    digest = project.write_model(a_network(), {})
    models = project.path / "models"
    (models / "new-1234.safetensors").write_bytes(b"half")
    (models / ".new-1234.safetensors.ab.part").write_bytes(b"less")
    reader = Project.open(project.path, read_only=True)
    assert len(list(models.iterdir())) == 3, "who only reads leaves it to who writes"
    reader.close()
    project = again(project)
    assert [one.name for one in models.iterdir()] == [f"{digest}.safetensors"]


def test_a_project_that_was_closed_takes_nothing_any_more(project):
    project.close()
    with pytest.raises(ProjectError, match="was closed"):
        project.write_model(a_network(), {})
    assert not Project.open(project.path).models


def test_another_name_takes_models_and_history_along(project, tmp_path):
    digest = project.write_model(a_network(), {"note": "first"})
    project.add_history({"what": "taught"})
    other = Project.create(tmp_path / "b.tileseg", {})
    other.add_history({"what": "moved"})
    other.take_along(project)
    other = again(other)
    require_equal(other.read_model(digest), a_network())
    assert other.models == project.models
    assert [one["what"] for one in other.history] == ["taught", "moved"]
