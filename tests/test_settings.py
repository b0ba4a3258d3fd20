"""Settings: file, environment, flags, and the errors for wrong ones."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jsonschema
import pytest

from edgeser.errors import UserError
from edgeser.settings.environment import unread_variables
from edgeser.settings.json_schema import json_schema
from edgeser.settings.load import load_daemon_settings, load_settings
from edgeser.settings.schema import Settings, SettingsError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
SHIPPED = ROOT / "systemd" / "edgeser.toml"


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "edgeser.toml"
    file.write_text(text)
    return file


def test_later_ones_win(tmp_path: Path) -> None:
    file = written(tmp_path, "[speech]\nmin_seconds = 0.5\nhop_seconds = 1\nvad_mode = 1")
    environment = {"EDGESER_SPEECH_HOP_SECONDS": "2", "EDGESER_SPEECH_VAD_MODE": "3"}
    settings = load_settings(file, environment, {"speech.vad_mode": 0})
    assert settings.speech.min_seconds == 0.5
    assert settings.speech.hop_seconds == 2
    assert settings.speech.vad_mode == 0


def test_a_program_gives_a_files_name_and_its_own_environment_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGESER_SPEECH_VAD_MODE", "3")
    settings = load_settings(str(written(tmp_path, "[speech]\nvad_mode = 1\nhop_seconds = 1")))
    assert (settings.speech.vad_mode, settings.speech.hop_seconds) == (3, 1)


def test_lists_and_strangers_in_the_environment() -> None:
    settings = load_settings(
        environment={
            "EDGESER_EVENTS_BIND": "ipc:///a,tcp://127.0.0.1:1",
            "EDGESER_DATA": "somewhere",
            "EDGESER_SERVICE_HOST": "10.0.0.1",
        }
    )
    assert settings.events.bind == ["ipc:///a", "tcp://127.0.0.1:1"]


def test_every_list_can_be_given_by_the_environment() -> None:
    settings = load_settings(
        environment={
            "EDGESER_MODEL_LABELS": "happy, sad",
            "EDGESER_METRICS_HOSTS": "pi:9464",
            "EDGESER_EVENTS_BIND": "ipc:///a",
        }
    )
    assert settings.model.labels == ["happy", "sad"]
    assert settings.metrics.hosts == ["pi:9464"]
    assert settings.events.bind == ["ipc:///a"]
    assert load_settings(environment={"EDGESER_MODEL_LABELS": ""}).model.labels == []


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HOME", "XDG_STATE_HOME", "STATE_DIRECTORY"):
        monkeypatch.delenv(variable, raising=False)

    def getpwuid(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr("pwd.getpwuid", getpwuid)
    with pytest.raises(UserError, match=r"no such home folder; .* set HOME"):
        _ = Settings().journal.file


@pytest.mark.parametrize(
    ("file", "below"),
    [("edgeser.toml", ""), ("kitchen.toml", "/kitchen"), ("x/../hall.toml", "/hall")],
)
def test_settings_of_a_service_have_its_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, below: str
) -> None:
    monkeypatch.setattr("edgeser.paths.SERVICE_SETTINGS", tmp_path / "edgeser.toml")
    (tmp_path / "x").mkdir()
    (tmp_path / file).write_text("[journal]\nmax_days = 1\n")
    settings = load_daemon_settings(tmp_path / file, {})
    assert settings.journal.file == Path(f"/var/lib/edgeser{below}/journal.db")
    assert settings.baseline.store == Path(f"/var/lib/edgeser{below}/baselines")
    assert settings.events.bind == [f"ipc:///run/edgeser{below}/events.sock"]
    assert settings.events.key_folder == tmp_path / "keys"
    (tmp_path / file).write_text('[journal]\npath = "/srv/j.db"\n')
    assert load_daemon_settings(tmp_path / file, {}).journal.file == Path("/srv/j.db")
    # Whoever runs a daemon of his own with them has folders of his own.
    assert load_settings(tmp_path / file, {}).baseline == Settings().baseline


def test_settings_elsewhere_are_those_of_who_asks(tmp_path: Path) -> None:
    for file in (None, written(tmp_path, "[speech]\n")):
        assert load_daemon_settings(file, {}) == load_settings(file, {})


def test_a_flag_for_one_source_replaces_those_of_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, '[[source]]\nstream = "a"\n[[source]]\nstream = "b"')
    assert [s.stream for s in load_settings(file, {}).sources] == ["a", "b"]
    (only,) = load_settings(file, {}, {"audio.source": "talk.wav"}).sources
    assert only.source == "talk.wav"
    assert Settings().sources == [Settings().audio]


def test_encrypted_tcp_may_be_published_everywhere(tmp_path: Path) -> None:
    file = written(tmp_path, '[events]\nbind = ["tcp://0.0.0.0:5555"]\ncurve = true')
    assert load_settings(file, {}).events.curve


def test_a_variable_for_one_source_beside_several_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, '[[source]]\nstream = "a"\n[[source]]\nstream = "b"')
    environment = {"EDGESER_AUDIO_DEVICE": "USB"}
    with pytest.raises(SettingsError, match=r"^EDGESER_AUDIO_DEVICE: .* lists \[\[source\]\]"):
        load_settings(file, environment)
    (only,) = load_settings(file, environment, {"audio.stream": "c"}).sources
    assert (only.device, only.stream) == ("USB", "c")


def test_another_source_than_a_microphone_sets_that_of_the_file_aside(tmp_path: Path) -> None:
    file = written(tmp_path, '[audio]\ndevice = "USB"\nchannel = 1')
    assert load_settings(file, {}, {"audio.source": "talk.wav"}).audio.device is None
    assert load_settings(file, {"EDGESER_AUDIO_SOURCE": "-"}).audio.channel is None
    assert load_settings(file, {}, {"audio.source": "mic"}).audio.device == "USB"
    with pytest.raises(SettingsError, match=r"audio\.device: 'talk\.wav' is no microphone"):
        load_settings(file, {}, {"audio.source": "talk.wav", "audio.device": "USB"})


def test_the_shipped_file_says_the_defaults() -> None:
    assert load_settings(SHIPPED, {}) == Settings()


def test_the_shipped_file_names_every_setting_with_a_comment() -> None:
    text = SHIPPED.read_text()
    assert "# [[source]]" in text
    for section in Settings.__struct_fields__:
        if section == "source":
            continue
        part = text.partition(f"[{section}]")[2].partition("\n[")[0].splitlines()
        for key in getattr(Settings(), section).__struct_fields__:
            line = next(i for i, s in enumerate(part) if s.lstrip("# ").startswith(f"{key} ="))
            assert part[line - 1].startswith("# "), key


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[speech]\nmin_seconds = "x"', 'speech.min_seconds: expected float, got "x"'),
        ("[speech]\nmin_seconds = -1", "speech.min_seconds: expected float >= 0.0, got -1"),
        ("[speech]\nhop_seconds = nan", "speech.hop_seconds: expected float"),
        ("[speech]\nhop_seconds = inf", "speech.hop_seconds: expected float"),
        ("[speech]\nmin = 1", "speech.min: unknown key; there are vad_mode"),
        ("[typo]\na = 1", "typo: unknown key; there are audio, source, speech"),
        ("speech = 1", "speech: expected table, got 1"),
        (
            '[model]\nbackend = "magic"',
            "model.backend: expected one of auto, onnxruntime, tensorrt, got",
        ),
        ("[events]\nbind = [1]", "events.bind[0]: expected str"),
        ("[source]\nstream = 'a'", "source: expected two brackets, [[source]], got {"),
        ("[[source]]\nhum = 1", "source[0].hum: unknown key; there are source, device"),
        ("[[source]]\ndevice = 1", "source[0].device: expected str | null, got 1"),
        ("a =", "not TOML: Invalid value (at end of document); a line is [SECTION] or KEY = VALUE"),
        (
            "[metrics]\n[mqtt]\n[metrics]",
            "[metrics] is there twice (at line 3, column 9); put its keys below the first one",
        ),
        (
            "[audio]\n[audio.x]\n[audio.x]",
            "[audio.x] is there twice (at line 3, column 9); put its keys below the first one",
        ),
        ("[source]\n[[source]]\n", "each source is [[source]], not [source] (at line 2, column 9)"),
        ("[[source]]\n[source]\n", "each source is [[source]], not [source] (at line 2, column 8)"),
        (f"[audio]\nchannel = {'1' * 5000}", "a number has thousands of digits; write a shorter"),
        (f"a = {'[' * 100_000}", "lists or tables are nested too deep; a value is at most a list"),
        ("[audio]\nchannel = 0\nchannel = 1\n", "a key is set twice (at line 3, column 12); del"),
        ("[events]\nbind = []", "events.bind: expected an endpoint"),
        ('[events]\nbind = ["bogus"]', "events.bind: endpoint 'bogus': expected ipc:// or tcp://"),
        ('[events]\nbind = ["tcp://0.0.0.0:5555"]', "events.bind: endpoint 'tcp://0.0.0.0:5555'"),
        ('[events]\nbind = ["tcp://127.0.0.1:65535"]', "the port above it is needed too"),
        (
            '[events]\nbind = ["tcp://localhost:5555", "tcp://127.0.0.1:5556"]',
            "events.bind: 'tcp://127.0.0.1:5556' collides with another endpoint",
        ),
        ('[events]\nbind = ["ipc:///a", "ipc:///a.replay"]', "'ipc:///a.replay' collides with"),
        ('[events]\nbind = ["ipc:///a", "ipc:///a"]', "'ipc:///a' collides with another endpoint"),
        ('[metrics]\nlisten = "x"', "metrics.listen: expected HOST:PORT, got 'x'"),
        (f'[metrics]\nlisten = "h:{"9" * 5000}"', "metrics.listen: expected HOST:PORT"),
        ('[metrics]\nhosts = ["http://h:9464"]', "metrics.hosts: expected HOST:PORT, got 'http:"),
        ('[mqtt]\nbroker = "u:s3cret@h"', "broker: its address contains a user or a password"),
        (
            '[nats]\nserver = "tls://u:s3cret@h"',
            "NATS server: its address contains a user or a pass",
        ),
        (
            '[lake]\nserver = "tls://u:s3cret@h"',
            "NATS server: its address contains a user or a pass",
        ),
        ('[audio]\nstream = "a\\nb"', "audio.stream: expected at most 120 printable characters"),
        (f'[audio]\nstream = "{"s" * 300}"', "printable characters, got 300: 'sss"),
        ("[[source]]\n[[source]]", "source.stream: two sources are called 'mic'"),
        ('[audio]\nsource = "a.wav"\ndevice = "USB"', "audio.device: 'a.wav' is no microphone"),
        ('[[source]]\nsource = "-"\nchannel = 0', "source.channel: '-' is no microphone"),
        ('[journal]\npath = "~nosuch/x"', "journal.path: ~nosuch/x: there is no such home folder"),
        ('[baseline]\npath = "~nosuch/x"', "baseline.path: ~nosuch/x: there is no such home"),
        ('[events]\nkeys = "~nosuch/x"\ncurve = true', "events.keys: ~nosuch/x: there is no such"),
        ('[lake]\nfolder = "~nosuch/x"', "lake.folder: ~nosuch/x: there is no such home folder"),
        ('[mqtt]\ncursor = "~nosuch/x"', "mqtt.cursor: ~nosuch/x: there is no such home folder"),
        (
            '[[source]]\nsource = "tls://*:7790"\ntokens = "~nosuch/x"\n'
            'certificate = "c"\ncertificate_key = "k"',
            "source.tokens: ~nosuch/x: there is no such home folder",
        ),
        ("[journal]\nmax_days = nan", "journal.max_days: expected float > 0.0, got nan"),
        ('[journal]\npath = "a\\u0000b"', "journal.path: a\\x00b: a path holds no NUL"),
        ('[journal]\npath = "."', "journal.path: .: this is a folder; name a file"),
        ('[nats]\ncursor = "/"', "nats.cursor: /: this is a folder; name a file"),
    ],
)
def test_wrong_ones_are_refused_by_path_and_value(
    tmp_path: Path, text: str, complaint: str
) -> None:
    with pytest.raises(SettingsError) as refusal:
        load_settings(written(tmp_path, text), {})
    assert complaint in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert "s3cret" not in str(refusal.value)


def test_a_missing_file_and_one_that_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        load_settings(tmp_path / "none.toml", {})
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=r"not TOML: .*; save it as UTF-8"):
        load_settings(tmp_path / "binary.toml", {})


def test_who_is_on_this_machine_takes_the_socket_in_the_file_system() -> None:
    def nearest(*bind: str) -> str:
        return load_settings(environment={"EDGESER_EVENTS_BIND": ",".join(bind)}).events.nearest

    assert nearest("tcp://127.0.0.1:1", "ipc:///a", "ipc:///b") == "ipc:///a"
    assert nearest("tcp://127.0.0.1:1", "tcp://127.0.0.1:3") == "tcp://127.0.0.1:1"


def test_a_variable_that_names_no_key_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"speech\.hop: unknown key"):
        load_settings(environment={"EDGESER_SPEECH_HOP": "1"})


def test_a_variable_that_names_a_section_only_is_refused_not_ignored() -> None:
    with pytest.raises(SettingsError, match=r"EDGESER_MODEL: .*EDGESER_MODEL_NAME"):
        load_settings(None, {"EDGESER_MODEL": "voices6"})


def test_a_variable_that_looks_like_a_setting_and_is_none_is_told() -> None:
    foreign = ("DATA", "SERVICE_HOST", "SERVICE_PORT_METRICS", "VERSION", "REQUIRE_PAGE")
    environment = {f"EDGESER_{name}": "1" for name in (*foreign, "SPEECH_HOP_SECONDS")}
    assert unread_variables(environment) == []
    environment |= {"EDGESER_AUDOI_DEVICE": "USB", "EDGESER_DEVICE": "USB"}
    assert load_settings(None, environment).audio.device is None
    assert unread_variables(environment) == [
        "EDGESER_AUDOI_DEVICE: not read; there is no section 'audoi'",
        "EDGESER_DEVICE: not read; there is no section 'device'",
    ]


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "edgeser.toml"
    file.write_text('[model]\nname = "voices6"\n', "utf-8-sig")
    assert load_settings(file, {}).model.name == "voices6"


@pytest.mark.parametrize("name", ["", "none.toml"])
def test_what_is_no_file_is_refused_with_the_fix(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="; name a file that this user may read"):
        load_settings(tmp_path / name, {})


@pytest.mark.parametrize("variable", ["EDGESER_SOURCE", "EDGESER_SOURCE_DEVICE"])
def test_a_variable_for_the_list_of_sources_is_refused_not_ignored(variable: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable}: .*EDGESER_AUDIO_SOURCE"):
        load_settings(None, {variable: "x"})


@pytest.mark.parametrize("listen", ["0.0.0.0:9464", "[::]:9464", "sensor.lan:9464"])
def test_metrics_are_open_to_other_machines_by_name_only(listen: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"metrics\.listen: .* unencrypted.*metrics\.hosts"):
        load_settings(None, {"EDGESER_METRICS_LISTEN": listen})
    load_settings(
        None, {"EDGESER_METRICS_LISTEN": listen, "EDGESER_METRICS_HOSTS": "sensor.lan:9464"}
    )


@pytest.mark.parametrize("listen", ["127.0.0.1:9464", "[::1]:9464", "localhost:0"])
def test_metrics_of_this_machine_need_no_name(listen: str) -> None:
    load_settings(None, {"EDGESER_METRICS_LISTEN": listen})


def test_the_schema_for_editors_says_what_the_types_do() -> None:
    written = json.loads((ROOT / "docs" / "settings.schema.json").read_text())
    assert written == json_schema(), (
        "python -m edgeser.settings.json_schema > docs/settings.schema.json"
    )
    jsonschema.Draft202012Validator.check_schema(written)


def test_the_schema_for_editors_takes_the_shipped_file_and_refuses_a_wrong_key() -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    tree = tomllib.loads(SHIPPED.read_text())
    assert list(validator.iter_errors(tree)) == []
    tree["speech"]["min_secondes"] = 1
    (error,) = validator.iter_errors(tree)
    assert "min_secondes" in error.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('source = "tcp://0.0.0.0:7790"', "sent unencrypted"),
        ('source = "tls://0.0.0.0:7790"', "audio.tokens: .* needs it"),
        (
            'source = "tls://0.0.0.0:1"\ntokens = "t"\ncertificate = "c"',
            "audio.certificate_key: .*",
        ),
        ('source = "tcp://127.0.0.1:1"\ncertificate = "c"', "audio.certificate: .* not encrypted"),
        (
            'source = "tcp://127.0.0.1:1"\ntokens = "t"\nstream = "a"',
            "audio.stream: the tokens name",
        ),
        ('source = "tcp://127.0.0.1:1"\ndevice = "USB"', "audio.device: .* is no microphone"),
        ('tokens = "t"', "audio.tokens: 'mic' is no network address"),
    ],
)
def test_network_sources_are_refused_where_others_could_listen_in(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        load_settings(written(tmp_path, f"[audio]\n{text}"), {})


def test_network_sources_beside_others(tmp_path: Path) -> None:
    tls = 'source = "tls://*:1"\ntokens = "t"\ncertificate = "c"\ncertificate_key = "k"'
    text = f'[[source]]\n{tls}\n[[source]]\nsource = "tcp://[::1]:7790"\n[[source]]'
    sources = load_settings(written(tmp_path, text), {}).sources
    assert [audio.is_network for audio in sources] == [True, True, False]
    assert [audio.file for audio in sources] == [None] * 3
    (only,) = load_settings(
        written(tmp_path, f"[audio]\n{tls}"), {"EDGESER_AUDIO_SOURCE": "a.wav"}
    ).sources
    assert only.tokens is None
