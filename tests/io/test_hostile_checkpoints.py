"""No file can run code, take the program down or leave a person without a way on."""

from __future__ import annotations

import re

import pytest

from hostile import WITNESS, hostile_files
from napari_tileseg.errors import CheckpointError
from napari_tileseg.io.checkpoints import load_model

REMEDY = re.compile(
    r"\b(Download|Choose|Copy|Export|Give|Put|Run|Save|Unpack|Update|Use|download|save it again|"
    r"torch\.save)\b"
)


@pytest.mark.filterwarnings("ignore")
def test_every_damaged_or_hostile_checkpoint_is_refused_by_name_with_a_way_on(tmp_path):
    count = 0
    for path in hostile_files(tmp_path):
        with pytest.raises(CheckpointError) as caught:
            load_model(path)
        said = str(caught.value)
        assert path.name in said, said
        assert REMEDY.search(said), said
        assert len(said) < 1500, said[:200]
        assert said.isprintable(), said
        count += 1
    assert count > 200
    assert not (tmp_path / WITNESS).exists()
