"""What a stage keeps of long work that is under way, so that a killed launch goes on where it was.

Nobody but the stage reads it: it is in no manifest, and goes when all is published. What cannot be trusted to be
whole is as if it were not there.
"""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING, Final

from tahoe_engine.run import replace_file, require_newest

if TYPE_CHECKING:
    from pathlib import Path

    from tahoe_engine.run import Layout

DIGEST_BYTES: Final = 32  # of a sha256, before the content


class Kept:
    """Unfinished work of a stage, by key.

    Parameters
    ----------
    layout : Layout
        The run, held by this launch.
    stage : str
        Name of the stage.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from tahoe_engine.run import Layout
    >>> layout = Layout(Path(tempfile.mkdtemp()))
    >>> layout.make_state()
    >>> kept = Kept(layout, "models/biospark-m3")
    >>> kept.keep("forest, 3 passes", b"weights")
    >>> kept.find("forest, 3 passes"), kept.find("forest, 4 passes")
    (b'weights', None)
    """

    def __init__(self, layout: Layout, stage: str) -> None:
        self._layout, self._stage = layout, stage

    def find(self, key: str) -> bytes | None:
        """Give what was kept under a key.

        Parameters
        ----------
        key : str
            Any text; that of work which would end otherwise must be another one.

        Returns
        -------
        bytes or None
            None where there is nothing, or something that is damaged or of another key.
        """
        path = self._place(key)
        try:
            # Nothing else is opened: reading a pipe would wait for ever.
            stored = path.read_bytes() if path.is_file() else b""
        except OSError:
            return None
        content = stored[DIGEST_BYTES:]
        return content if stored[:DIGEST_BYTES] == _digest(key, content) else None

    def keep(self, key: str, content: bytes) -> None:
        """Keep something, in place of what was there under its key.

        Parameters
        ----------
        key : str
            As in `find`.
        content : bytes
            All of it; it is there whole or not at all.

        Raises
        ------
        HeldError
            If a newer launch has taken over.
        OSError
            If the file system refuses; what was kept before is as it was.
        """
        path = self._place(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self._layout, path, _digest(key, content) + content)

    def forget(self, key: str) -> None:
        """Remove what was kept under a key, if anything was.

        Parameters
        ----------
        key : str
            As in `find`.

        Raises
        ------
        HeldError
            If a newer launch has taken over.
        """
        require_newest(self._layout)
        self._place(key).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all that the stage has kept.

        Raises
        ------
        HeldError
            If a newer launch has taken over.
        """
        require_newest(self._layout)
        shutil.rmtree(self._layout.kept(self._stage), ignore_errors=True)

    def _place(self, key: str) -> Path:
        return self._layout.kept(self._stage) / hashlib.sha256(key.encode()).hexdigest()


def _digest(key: str, content: bytes) -> bytes:
    # The length stands between the two, so that no other key and content give the same.
    named = key.encode()
    return hashlib.sha256(len(named).to_bytes(8) + named + content).digest()
