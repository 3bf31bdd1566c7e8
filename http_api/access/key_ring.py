"""Keys by their ids, loaded from a place that may be slow or away."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

import structlog

from http_api.access.refusal import CannotAuthenticate

Key = TypeVar("Key")

log = structlog.get_logger("access")


class KeyRing(Generic[Key]):
    """The keys of the last load.

    An unknown id leads to a load, but there is at most one every `pause` seconds, however many ids are invented. While
    loads fail, the last keys are good for `keep` seconds. `load` must end by itself, within seconds.
    """

    def __init__(
        self,
        load: Callable[[], Awaitable[Mapping[str, Key]]],
        *,
        source: str,
        pause: float,
        keep: float,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._source = source
        self._pause = pause
        self._keep = keep
        self._seconds = seconds
        self._keys: Mapping[str, Key] = {}
        self._loaded_at: float | None = None
        self._tried_at: float | None = None
        self._one_at_a_time = asyncio.Lock()

    @property
    def keys(self) -> Mapping[str, Key]:
        """The keys of the last load. They are another object exactly when they have changed."""
        return self._keys

    async def find(self, key_id: str) -> Key | None:
        """The key, or None if there is none of this id. Raises CannotAuthenticate when the keys are too old."""
        if key_id not in self._keys or not self._is_fresh():
            await self.refresh()
        if not self._is_fresh():
            raise CannotAuthenticate(f"{self._source} cannot be read")
        return self._keys.get(key_id)

    async def refresh(self) -> None:
        """Load the keys, unless the last attempt is too recent. Those who wait for a load share it."""
        async with self._one_at_a_time:
            if self._tried_at is not None and self._seconds() - self._tried_at < self._pause:
                return
            self._tried_at = self._seconds()
            try:
                loaded = await self._load()
            except Exception as error:  # noqa: BLE001  whatever failed, the last keys stay
                log.warning("keys cannot be loaded", source=self._source, error=f"{type(error).__name__}: {error}")
                return
            finally:
                self._tried_at = self._seconds()
            self._loaded_at = self._seconds()
            if loaded != self._keys:
                self._keys = loaded

    def _is_fresh(self) -> bool:
        return self._loaded_at is not None and self._seconds() - self._loaded_at <= self._keep
