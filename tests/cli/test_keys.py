"""``edgeser keys``, and a real daemon that is reloaded after them."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import zmq

from edgeser import Subscriber
from edgeser.errors import UserError
from edgeser.events.wire.keys import KeyFolder
from tests.disks import filled
from tests.events.helpers import until
from tests.ports import free_port
from tests.system.daemons import edgeser, running


def said(*arguments: str) -> str:
    done = edgeser("keys", *arguments)
    assert done.code == 0, done.err
    return done.out.strip()


def test_new_allow_list_and_revoke(tmp_path: Path) -> None:
    ours, theirs = ("--keys", str(tmp_path / "ours")), ("--keys", str(tmp_path / "theirs"))
    assert "No keys" in said("list", *ours)
    server, phone = said("new", "server", *ours), said("new", "phone", *theirs)
    said("allow", "phone", phone, *ours)
    expected = {"own": {"server": server}, "allowed": {"phone": phone}}
    assert json.loads(said("list", "--json", *ours)) == expected
    listed = said("list", *ours)
    assert server in listed
    assert phone in listed
    said("revoke", "phone", *ours)
    assert json.loads(said("list", "--json", *ours))["allowed"] == {}
    secret = (tmp_path / "theirs" / "phone.secret").read_text().strip()
    assert secret not in listed


def test_a_public_key_may_begin_with_a_dash(tmp_path: Path) -> None:
    folder = ("--keys", str(tmp_path))
    # With an "h" as well: a bundle of short options would hold -h, which is a call for help.
    key = next(key for key in iter(new_public_key, "") if key.startswith("-") and "h" in key)
    said("allow", "phone", key, *folder)
    assert json.loads(said("list", "--json", *folder))["allowed"] == {"phone": key}


def new_public_key() -> str:
    return zmq.curve_keypair()[0].decode()


def test_what_a_user_gets_wrong_is_one_line(tmp_path: Path) -> None:
    folder = ("--keys", str(tmp_path))
    said("new", "server", *folder)
    assert "one already" in edgeser("keys", "new", "server", *folder).refusal
    assert "40 characters" in edgeser("keys", "allow", "phone", "nonsense", *folder).refusal
    assert "no allowed key has this name" in edgeser("keys", "revoke", "phone", *folder).refusal
    too_great = "#" * 40  # of the right characters, and yet no key
    assert "40 characters" in edgeser("keys", "allow", "phone", too_great, *folder).refusal
    assert not (tmp_path / "allowed").exists()
    secret = str(tmp_path / "server.secret")
    address = ("--connect", "tcp://127.0.0.1:9", "--key", secret, "--server-key", too_great)
    assert "server key: expected 40" in edgeser("listen", *address).refusal
    assert "name both: --key and --server-key" in edgeser("listen", *address[:4]).refusal
    (tmp_path / "server.secret").chmod(0o644)
    assert "chmod 600" in edgeser("keys", "list", *folder).refusal


@pytest.mark.skipif(os.geteuid() != 0, reason="gives folders to their owners, which needs root")
def test_a_folder_swapped_for_a_link_gives_nothing_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, roots = tmp_path / "keys", tmp_path / "roots"
    keys.mkdir()
    os.chown(keys, 65534, 65534)
    roots.mkdir()
    mkdir = Path.mkdir

    def swapped(folder: Path, **options: Any) -> None:
        mkdir(folder, **options)
        folder.rmdir()
        folder.symlink_to(roots)

    with monkeypatch.context() as patch, suppress(UserError):
        patch.setattr(Path, "mkdir", swapped)
        KeyFolder(keys).allow("phone", zmq.curve_keypair()[0].decode())
    assert roots.stat().st_uid == 0


def test_a_full_disk_leaves_no_part_of_a_key(small_disk: Path) -> None:
    folder, key = KeyFolder(small_disk), new_public_key()
    folder.allow("phone", key)
    filled(small_disk)
    with pytest.raises(UserError, match="tablet: No space left on device"):
        folder.allow("tablet", key)
    with pytest.raises(UserError, match=r"server\.secret: No space left on device"):
        folder.new("server")
    assert folder.allowed() == {"phone": key.encode()}
    assert folder.own() == {}


def test_a_list_swapped_for_a_link_while_it_is_changed_leads_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, others = new_public_key(), tmp_path / "others"
    folder = KeyFolder(tmp_path / "keys")
    folder.allow("phone", key)
    others.mkdir()
    (others / "phone").touch()
    listed = folder.folder / "allowed"
    listed.rename(tmp_path / "away")
    # It was swapped just after this:
    monkeypatch.setattr("edgeser.events.wire.keys._check_links", lambda _: None)
    listed.symlink_to(others)
    with pytest.raises(UserError, match="it is a link"):
        folder.allow("tablet", key)
    with pytest.raises(UserError, match="it is a link"):
        folder.revoke("phone")
    assert [file.name for file in others.iterdir()] == ["phone"]


@pytest.mark.skipif(os.geteuid() != 0, reason="makes another user's link, which needs root")
def test_another_users_link_leads_to_no_other_folder(tmp_path: Path) -> None:
    keys, roots = KeyFolder(tmp_path / "keys"), tmp_path / "roots"
    keys.folder.mkdir()
    roots.mkdir()
    (roots / "phone").touch()
    link = keys.folder / "allowed"
    link.symlink_to(roots)
    os.lchown(link, 65534, 65534)
    with pytest.raises(UserError, match="a link of another user"):
        keys.allow("other", zmq.curve_keypair()[0].decode())
    with pytest.raises(UserError, match="a link of another user"):
        keys.revoke("phone")
    assert [file.name for file in roots.iterdir()] == ["phone"]


@pytest.mark.skipif(os.geteuid() != 0, reason="makes another user's link, which needs root")
@pytest.mark.parametrize("below", ["", "keys"])
def test_a_folder_of_keys_behind_another_users_link_is_left_alone(
    below: str, tmp_path: Path
) -> None:
    roots, link = tmp_path / "roots", tmp_path / "link"
    public = said("new", "server", "--keys", str(roots / below))
    said("allow", "phone", public, "--keys", str(roots / below))
    link.symlink_to(roots)
    before = sorted(roots.rglob("*"))
    for owner, refused in ((65534, True), (0, False)):
        os.lchown(link, owner, owner)
        for words in (("new", "other"), ("allow", "other", public), ("revoke", "phone")):
            done = edgeser("keys", *words, "--keys", str(link / below))
            assert (f"keys {link}: it is a link of another user" in done.err) == refused, done.err
        assert (sorted(roots.rglob("*")) == before) == refused


def test_a_daemon_without_keys_does_not_start(tmp_path: Path) -> None:
    settings = tmp_path / "edgeser.toml"
    settings.write_text(f'[events]\ncurve = true\nkeys = "{tmp_path}/none"\n')
    assert "server.secret" in edgeser("run", "--settings", str(settings), "--source", "-").refusal


def test_a_key_is_allowed_and_revoked_while_a_daemon_runs(tmp_path: Path) -> None:
    ours, theirs = str(tmp_path / "ours"), str(tmp_path / "theirs")
    server, phone = said("new", "server", "--keys", ours), said("new", "phone", "--keys", theirs)
    port = free_port(in_a_row=2)
    settings = tmp_path / "edgeser.toml"
    settings.write_text(f'[events]\ncurve = true\nkeys = "{ours}"\n')
    address = f"tcp://127.0.0.1:{port}"
    arguments = ("--settings", str(settings), "--source", "-", "--bind", address)
    with (
        running(*arguments, await_subscriber=False) as daemon,
        Subscriber(
            address, key=f"{theirs}/phone.secret", server_key=server, timeout_s=0.2
        ) as subscriber,
    ):

        def hears() -> bool:
            try:
                next(subscriber)
            except TimeoutError:
                return False
            return True

        daemon.wait_for("len(self.statuses) >= 3")
        assert not hears()
        said("allow", "phone", phone, "--keys", ours)
        daemon.signal(signal.SIGHUP)
        until(hears)
        until(hears)
        said("revoke", "phone", "--keys", ours)
        daemon.signal(signal.SIGHUP)
        until(lambda: not any(hears() for _ in range(10)))
        for rejected, key in enumerate(("no key", "#" * 40)):
            (tmp_path / "ours" / "allowed" / "broken").write_text(key)
            daemon.signal(signal.SIGHUP)
            daemon.wait_for(
                f"sum(f.code == 'settings_rejected' for f in self.faults) == {rejected + 1}"
            )
            assert daemon.process.poll() is None
