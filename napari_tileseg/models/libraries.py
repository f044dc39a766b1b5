"""Libraries that architectures come from: imported late, with a clear word if they cannot be."""

from __future__ import annotations

import os
import sys
from importlib import import_module, metadata
from typing import Any

from napari_tileseg.errors import TilesegError


def import_smp() -> Any:
    """Return the module segmentation_models_pytorch.

    Raises
    ------
    TilesegError
        If it is missing, or torch and torchvision do not fit each other.
    """
    return _imported("segmentation_models_pytorch")


def import_torchvision_nets() -> Any:
    """Return the module torchvision.models.segmentation.

    Raises
    ------
    TilesegError
        If it is missing, or torch and torchvision do not fit each other.
    """
    return _imported("torchvision.models.segmentation")


def import_monai_nets() -> Any:
    """Return the module monai.networks.nets.

    Raises
    ------
    TilesegError
        If MONAI is missing or cannot be loaded.
    """
    load_triton_apart()
    return _extra("monai.networks.nets", "monai", "networks of MONAI")


def import_onnx() -> Any:
    """Return the module onnx, which reads and writes ONNX files.

    Raises
    ------
    TilesegError
        If it is missing or cannot be loaded.
    """
    return _extra("onnx", "onnx", "ONNX files")


def import_onnxruntime() -> Any:
    """Return the module onnxruntime, which runs ONNX networks.

    Raises
    ------
    TilesegError
        If it is missing or cannot be loaded.
    """
    return _extra("onnxruntime", "onnx", "ONNX networks")


def import_onnxscript() -> Any:
    """Return the module onnxscript, by which torch writes ONNX networks.

    Raises
    ------
    TilesegError
        If it is missing or cannot be loaded.
    """
    return _extra("onnxscript", "onnx", "writing ONNX files")


def import_bioimageio() -> Any:
    """Return the module bioimageio.spec, which knows what packages of bioimage.io hold.

    Raises
    ------
    TilesegError
        If it is missing or cannot be loaded.
    """
    return _extra("bioimageio.spec", "bioimageio", "bioimage.io packages")


def _extra(name: str, extra: str, what: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise TilesegError(
            f"For {what} the library {name} is needed, and it cannot be loaded ({error}). "
            f'Install it: pip install "napari-tileseg[{extra}]"'
        ) from error


def load_triton_apart() -> None:
    """Load triton, which torchvision makes torch load, so that it sees its own LLVM only.

    OpenGL drivers bring an LLVM of another version into the process, for all to see. Once a
    window has drawn something, loading triton in the usual way mixes the two and crashes.
    """
    deep_bind = getattr(os, "RTLD_DEEPBIND", None)
    if deep_bind is None or "triton" in sys.modules:
        return
    before = sys.getdlopenflags()
    sys.setdlopenflags(os.RTLD_NOW | deep_bind)
    try:
        import_module("triton")
    except ImportError:
        return  # torch without CUDA does without it
    finally:
        sys.setdlopenflags(before)


def _imported(name: str) -> Any:
    load_triton_apart()
    package = name.partition(".")[0].replace("_", "-")
    try:
        return import_module(name)
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        raise TilesegError(
            f"Your torchvision ({_version('torchvision')}) does not match your torch "
            f"({_version('torch')}), so no network can be built. Install both again in one go and "
            "from one place, for example: pip install --force-reinstall torch torchvision"
        ) from error
    except ImportError as error:
        raise TilesegError(
            f"{package} cannot be loaded ({error}), so no network can be built. "
            f"Install it again: pip install --force-reinstall {package}"
        ) from error


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "version unknown"
