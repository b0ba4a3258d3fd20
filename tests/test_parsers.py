"""Foreign bytes to every parser: each accepts them, or raises the error that it documents.

`make fuzz` tries much more (--hypothesis-profile=fuzz). Sound files and raw sound have a trial of
their own, tests/trials/fuzz_files.py, as have the open ports of a daemon: fuzz_ports.py.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeser.audio.network.address import parse_address
from edgeser.audio.network.tokens import read_tokens
from edgeser.baselines.store import BaselineStore
from edgeser.bridges.mqtt.address import parse_broker
from edgeser.bridges.mqtt.bridge import _position_in
from edgeser.bridges.mqtt.broker import Message
from edgeser.bridges.mqtt.topics import safe_name
from edgeser.bridges.position_file import PositionFile
from edgeser.daemon.mute import MuteRequest
from edgeser.errors import UserError
from edgeser.events.journal.file import ForeignFileError
from edgeser.events.journal.reader import JournalReader
from edgeser.events.schema import decode
from edgeser.events.wire.endpoint import parse_endpoint
from edgeser.events.wire.keys import read_public, read_secret
from edgeser.events.wire.replay import read_request
from edgeser.model.artefact import info_from_metadata
from edgeser.page.query import read_edges, read_query
from edgeser.settings.load import load_settings
from edgeser.voice import Voice

ROOT = Path(__file__).parent.parent


class Parser(NamedTuple):
    """What reads bytes, an example that it takes, and what it raises for one that it does not."""

    name: str
    read: Callable[[bytes], object]
    example: bytes
    refuses: tuple[type[Exception], ...] = (UserError,)


def _of_file(read: Callable[[Path], object]) -> Callable[[bytes], object]:
    def with_file(content: bytes) -> object:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "file"
            file.write_bytes(content)
            file.chmod(0o600)
            return read(file)

    return with_file


def _text(read: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda content: read(content.decode("utf-8", "surrogateescape"))


def _position(file: Path) -> object:
    positions = PositionFile(file)
    try:
        return positions.load(), positions.earlier()
    finally:
        positions.close()


def _baseline(file: Path) -> object:
    store = BaselineStore(file.parent)
    file.rename(store.file("hall"))
    return store.read("hall")


def _query(text: str) -> object:
    fields = parse_qs(text, keep_blank_values=True)
    return read_query(fields, set(fields)), read_edges(fields)


EVENT = (
    b'{"v":1,"type":"speech","stream":"mic","epoch":"abc","seq":3,"time":1.5,'
    b'"state":"start","segment":1,"start":0.5,"end":null}'
)
JSON = (msgspec.MsgspecError, ValueError, RecursionError)

PARSERS = [
    Parser("an event", decode, EVENT, (msgspec.DecodeError,)),
    Parser("an event in a text", _text(decode), EVENT, (msgspec.DecodeError,)),
    Parser(
        "a request for replay",
        read_request,
        b'{"id":1,"epoch":"abc","topics":{"speech.mic":4},"prefixes":["fault"],"until":9}',
        JSON,
    ),
    Parser(
        "a request to mute",
        lambda line: msgspec.json.decode(line, type=MuteRequest),
        b'{"mute":true,"for_s":3}',
        JSON,
    ),
    Parser(
        "settings",
        _of_file(lambda file: load_settings(file, environment={})),
        (ROOT / "systemd/edgeser.toml").read_bytes()[:400],
    ),
    Parser("a secret key", _of_file(read_secret), b"rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"),
    Parser("a public key", _text(read_public), b"rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"),
    Parser("tokens", _of_file(read_tokens), b"hall " + b"a" * 64 + b"\n"),
    Parser("an address of microphones", _text(parse_address), b"tls://*:7790"),
    Parser("an endpoint", _text(parse_endpoint), b"tcp://127.0.0.1:7788"),
    Parser("a broker", _text(lambda text: parse_broker(text, tls=False)), b"host.lan:1883"),
    Parser("a name for a topic", _text(safe_name), b"k\xc3\xbcche/1", ()),
    Parser(
        "a cursor that a broker keeps",
        lambda payload: _position_in(Message("edgeser/n/cursor", payload, True)),
        b'{"epoch":"abc","after":{"emotion.mic":4}}',
        (),
    ),
    Parser(
        "a bridge's position",
        _of_file(_position),
        b'{"position":{"epoch":"abc","after":{"emotion.mic":4}},"marks":[]}',
    ),
    Parser(
        "a voice",
        Voice.from_json,
        b'{"model":"x","spectrum":{"mean":[0.5,-1],"frames":9},"logits":{"mean":[1],"frames":3}}',
        (ValueError,),
    ),
    Parser("a baseline", _of_file(_baseline), b'{"format":1}'),
    Parser(
        "a question of the page", _text(_query), b"since=1&before=2&label=sad&limit=5&edges=1,2,3"
    ),
    Parser(
        "an artefact's metadata",
        _text(lambda text: info_from_metadata({"edgeser": text}, Path("model.onnx"))),
        json.dumps({"name": "x", "labels": ["a"]}).encode(),
    ),
    Parser(
        "a journal",
        _of_file(lambda file: list(JournalReader(file).payloads())),
        b"SQLite format 3\0" + bytes(100),
        (UserError, ForeignFileError, OSError, sqlite3.Error),
    ),
]


def foreign(example: bytes) -> st.SearchStrategy[bytes]:
    """Anything, and the example with a part of it replaced."""

    def replaced(cut: tuple[int, int, bytes]) -> bytes:
        start, length, middle = cut
        return example[:start] + middle + example[start + length :]

    place = st.integers(0, len(example))
    part = st.one_of(st.binary(max_size=20), st.text(max_size=8).map(lambda t: t.encode()))
    numbers = st.sampled_from([b"-1", b"1e999", b"NaN", b"null", b"[]", b"{}", b'"', b"9" * 30])
    changed = st.tuples(place, place, st.one_of(part, numbers)).map(replaced)
    deep = st.sampled_from([b"[" * 5000, b'{"after":' * 5000, b"[[" * 400])
    return st.one_of(st.binary(max_size=200), changed, changed, deep)


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_foreign_bytes_are_taken_or_refused(parser: Parser) -> None:
    @given(foreign(parser.example))
    def tried(content: bytes) -> None:
        with suppress(*parser.refuses):
            parser.read(content)

    tried()


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_the_example_is_what_it_takes(parser: Parser) -> None:
    """Or else what is like it is no better than noise."""
    if parser.name not in ("a journal", "a baseline", "an artefact's metadata"):
        parser.read(parser.example)
