from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from napari_tileseg.io.checkpoints import bundled_models, load_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform == "linux" and not os.environ.get("DISPLAY"), reason="there is no display"
    ),
    pytest.mark.skipif("cells" not in bundled_models(), reason="the sample model is missing"),
]


def test_the_demo_opens_napari_runs_to_the_end_and_shows_the_classes(tmp_path):
    picture = tmp_path / "window.png"
    code = "import sys; from napari_tileseg.cli import main; sys.exit(main())"
    words = ["demo", "--screenshot", str(picture), "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    pixels = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    assert pixels.shape[0] > 600
    assert pixels.shape[1] > 1000
    for one in load_model("cells").classes[1:3]:
        low, middle, high = np.argsort(
            [int(one.colour[start : start + 2], 16) for start in (1, 3, 5)]
        )
        # labels are drawn half transparent over a grey image: the order of the channels stays
        alike = (pixels[..., high] > pixels[..., middle]) & (pixels[..., middle] > pixels[..., low])
        strong = pixels[..., high] - pixels[..., low] > 60
        assert (alike & strong).mean() > 0.02, one.name


def test_a_device_that_does_not_exist_is_told_before_a_window_opens(tmp_path):
    code = "import sys; from napari_tileseg.cli import main; sys.exit(main())"
    words = ["demo", "--screenshot", str(tmp_path / "window.png"), "--device", "cuda:77"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "There is no device 'cuda:77'" in done.stderr
    assert not list(tmp_path.iterdir())
