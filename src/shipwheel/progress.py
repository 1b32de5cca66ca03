"""What the verbs tell while they work. Says nothing itself; `cli.console` shows it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told of steps as they happen, from several threads; `key` tells steps apart."""

    def started(self, key: str, title: str) -> None:
        """A step begins: a layer being made, an index being read."""
        ...

    def finished(self, key: str, title: str, *, note: str, size: int | None = None) -> None:
        """A step ended: `note` says how (made, cached, reused), `size` is what it came to in bytes."""
        ...

    def said(self, text: str) -> None:
        """Something a person should know that stops nothing."""
        ...


class Silent:
    """Tells nobody."""

    def started(self, key: str, title: str) -> None:
        """Say nothing."""

    def finished(self, key: str, title: str, *, note: str, size: int | None = None) -> None:
        """Say nothing."""

    def said(self, text: str) -> None:
        """Say nothing."""
