"""The most memory that tensors take at once while something is computed, without waiting for it to run out."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


def most_bytes(work: Callable[[], object]) -> int:
    """What the tensors that ``work`` makes take at most at one time, on any device, those for gradients included."""
    live = _Live()
    with live:
        work()
    return live.most


class _Live(TorchDispatchMode):
    """Sees every result of every operator, forward and backward, and when its memory is given back."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0
        self._now = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(
        self, operator: Any, types: object, arguments: tuple[Any, ...] = (), options: dict[str, Any] | None = None
    ) -> Any:
        result = operator(*arguments, **(options or {}))
        for each in tree_iter(result):
            if isinstance(each, Tensor):
                self._note(each.untyped_storage())
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._sizes:
            self._sizes[key] = storage.nbytes()
            self._now += storage.nbytes()
            self.most = max(self.most, self._now)
            weakref.finalize(storage, self._forget, key).atexit = False

    def _forget(self, key: int) -> None:
        self._now -= self._sizes.pop(key)
