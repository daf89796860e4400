"""Packages whose name is also a public function's, such as `swath.plan`: called, they are it."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any


class CallablePackage(ModuleType):
    """Called, it is the function of `swath.api` that bears its name."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        function = self.__name__.rsplit(".", 1)[-1]
        return getattr(import_module("swath.api"), function)(*arguments, **options)
