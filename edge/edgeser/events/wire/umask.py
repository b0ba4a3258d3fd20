"""The umask around the bind of a Unix socket, so that it never has too wide permissions."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_umask_lock = threading.Lock()


@contextmanager
def socket_umask(mask: int) -> Iterator[None]:
    """Sockets bound inside the ``with`` block get the mode 0777 less ``mask``.

    The umask belongs to the whole process: one thread at a time changes it, so that it is always
    put back as it was.
    """
    with _umask_lock:
        umask = os.umask(mask)
        try:
            yield
        finally:
            os.umask(umask)
