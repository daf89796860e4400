"""PyTorch modules as ONNX models; needs the extra ``swath[torch]``."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import onnx

from swath.errors import ModelError

if TYPE_CHECKING:
    import torch

OPSET = 18
"""What torch's exporter writes without converting."""


def export_module(module: torch.nn.Module, example: Any) -> onnx.ModelProto:
    """A module as an ONNX model, in evaluation mode, for inputs of the example's shapes.

    ``example``: what the module is called with: a tensor, a tuple of arguments, or a mapping of
    keyword arguments. Raises ModelError where torch or the example is missing, or where the module
    cannot be exported.
    """
    if example is None:
        raise ModelError(
            "a torch module does not know its input's shape; "
            "give example=torch.zeros(1, 3, 224, 224)"
        )
    try:
        import onnxscript  # noqa: F401  torch's exporter needs it.
        import torch
    except ImportError as error:
        raise ModelError(
            f"a torch module needs {error.name}, which is not installed; pip install 'swath[torch]'"
        ) from None
    arguments: tuple[Any, ...] = ()
    keywords: dict[str, Any] = {}
    if isinstance(example, Mapping):
        keywords = dict(example)
    else:
        arguments = tuple(example) if isinstance(example, tuple | list) else (example,)
    training = module.training
    module.eval()
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                module, arguments, kwargs=keywords, dynamo=True, opset_version=OPSET, verbose=False
            )
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"{type(module).__name__} cannot be exported from torch ({type(error).__name__}: "
            f"{reason}); export it yourself and load the ONNX file"
        ) from error
    finally:
        module.train(training)
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    return model


@contextlib.contextmanager
def _quiet() -> Any:
    """The exporter's own chatter says nothing to the one who loads a model."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
