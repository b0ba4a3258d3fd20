"""The card of the model that a daemon runs, if it is a shipped one."""

from __future__ import annotations

import asyncio
import hashlib
import re
import sys

import msgspec

from edgeser.errors import UserError
from edgeser.module_command import module_command

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
PATIENCE_S = 120.0


class Figure(msgspec.Struct, frozen=True):
    """A fraction with its interval."""

    value: float
    low: float
    high: float


class Training(msgspec.Struct, frozen=True):
    """What it was trained on, and how well it does; None if it was not evaluated."""

    corpora: list[str]
    licence: str
    date: str
    protocol: str
    ua: Figure | None
    wa: Figure | None
    ece: float | None


class UnseenRow(msgspec.Struct, frozen=True):
    """Mean recall of angry, happy, neutral and sad, with so much ``known`` of every voice."""

    known: str
    ua4: Figure


class Unseen(msgspec.Struct, frozen=True):
    """How well it does on corpora that it was not trained on."""

    corpora: list[str]
    rows: list[UnseenRow]


class Window(msgspec.Struct, frozen=True):
    """How much speech it looks at."""

    seconds: float
    min_seconds: float
    max_seconds: float


class Card(msgspec.Struct, frozen=True):
    """The part of an artefact's description that the page shows."""

    name: str
    version: str
    sha256: str
    labels: list[str]
    abstain_below: float
    training: Training
    unseen: Unseen | None
    window: Window


class ModelCard:
    """Reads cards, each once."""

    def __init__(self) -> None:
        self._read: dict[str, Card] = {}
        self._one_at_a_time = asyncio.Lock()

    async def read(self, name: str, sha256: str) -> Card:
        """Raises ``UserError`` if the model is none of those installed with edgeser.

        The name comes from the network, so it is validated before use.
        """
        if not _NAME.fullmatch(name) or not _SHA256.fullmatch(sha256):
            raise UserError("a model has a name and a SHA-256")
        async with self._one_at_a_time:
            if name not in self._read:
                self._read[name] = await _ask(name)
        card = self._read[name]
        if card.sha256 != sha256:
            raise UserError(f"the model '{name}' that runs is not the one installed here")
        return card


async def _ask(name: str) -> Card:
    """Read it in a separate process, since reading an artefact needs NumPy and its memory."""
    process = await asyncio.create_subprocess_exec(
        *module_command("edgeser.page.card", name),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
        return msgspec.json.decode(output, type=Card)
    except asyncio.TimeoutError:
        raise UserError(f"reading the card of '{name}' took too long", "ask again") from None
    except msgspec.MsgspecError:
        raise UserError(f"there is no card of the model '{name}' here") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _print(name: str) -> None:
    """Print the card of a shipped model as JSON, without verifying it: the daemon does that."""
    from edgeser.model.artefact import info_from_metadata, shipped_models
    from edgeser.model.onnx_file import read_onnx
    from edgeser.model.unseen import read_unseen

    path = shipped_models()[name]
    content = path.read_bytes()
    info = info_from_metadata(read_onnx(content, path).metadata, path)
    sha256 = hashlib.sha256(content).hexdigest()
    unseen = msgspec.to_builtins(read_unseen(path, sha256))
    fields = {**msgspec.to_builtins(info), "sha256": sha256, "unseen": unseen}
    fields["training"]["protocol"] = info.evaluated_by
    if not info.training.is_evaluated:
        fields["training"] |= dict.fromkeys(("ua", "wa", "ece"))
    sys.stdout.buffer.write(msgspec.json.encode(msgspec.convert(fields, Card)))


if __name__ == "__main__":
    _print(sys.argv[1])
