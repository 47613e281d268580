"""Ctrl-C and a polite kill, in two steps: the first lets end what is under way, the second ends everything."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

ASKING = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """How often this process was asked to stop, while units run.

    Parameters
    ----------
    patient : bool
        The first request is only counted; otherwise each is a `KeyboardInterrupt` at once.
    """

    def __init__(self, *, patient: bool = False) -> None:
        self.patient = patient
        self.count = 0
        self._held = False
        self._tell: Callable[[], object] | None = None

    def check(self) -> None:
        """Raise what was only counted.

        Raises
        ------
        KeyboardInterrupt
            If this process was asked to stop.
        """
        if self.count:
            raise KeyboardInterrupt

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Listen while the block runs; in another thread than the main one there is nothing to hear."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._hear) for number in ASKING}
        try:
            yield
        finally:
            for number, handler in before.items():
                # None: somebody set it without Python, and Python cannot set it back.
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    @contextmanager
    def telling(self, tell: Callable[[], object] | None) -> Iterator[None]:
        """Say so at once when the first request comes in the block, which runs no code that speaks itself."""
        self._tell = tell
        try:
            yield
        finally:
            self._tell = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold both back while workers start or end, and let them start deaf to Ctrl-C.

        Ctrl-C reaches the whole group, and only this process shall answer (else it prints 144 lines). A blocked signal
        stays blocked in the threads and programs started meanwhile, also in workers that replace others later; here it
        waits. A kill must reach the workers, so it is only counted. Either would leave a half-made cluster behind.
        """
        # Starting the tracker would unblock the signal in the middle; it is started once a process.
        resource_tracker.ensure_running()
        before, self._held = self._held, True
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            self._held = before
        if not self.patient:
            self.check()

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self._held:
            return
        if self.count > 1 or not self.patient:
            raise KeyboardInterrupt
        if self._tell is not None:
            self._tell()
