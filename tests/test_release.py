"""The parts of a release: cheap checks for errors that a build would show only late."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from edgeser.model.model import load_model
from release import build, source
from release.arm import report
from release.build import ReleaseError, changes, compare, replace
from release.image import leave_chance_out
from release.source import EXTRAS, REQUIREMENTS, version
from tests.disks import filled

CHECKOUT = Path(__file__).parent.parent
DEBIAN = CHECKOUT / "release/debian"


def _named(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found is not None
    return found[0].lower().replace("_", "-")


def _pins(text: str) -> dict[str, set[str]]:
    """Package to its versions: one, or one for each range of Pythons."""
    pins: dict[str, set[str]] = {}
    for name, pin in re.findall(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE):
        pins.setdefault(_named(name), set()).add(pin)
    return pins


def test_everything_that_the_service_needs_is_pinned_by_its_hash() -> None:
    text = REQUIREMENTS.read_text()
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for extra in EXTRAS:
        wanted += project["optional-dependencies"][extra]
    assert {_named(one) for one in wanted} <= set(_pins(text))
    for requirement in re.split(r"\n(?=\w)", text)[1:]:
        assert "--hash=sha256:" in requirement, requirement
    assert "://" not in text  # no index is named


def test_the_golden_vectors_that_are_compared_with_arm64_are_those_of_the_model() -> None:
    probe = [sys.executable, str(CHECKOUT / "release/probe.py"), "golden", "voices6"]
    done = subprocess.run(probe, check=True, capture_output=True, text=True)
    found = [[float.fromhex(score) for score in row] for row in json.loads(done.stdout)]
    wanted = [golden.scores for golden in load_model("voices6").info.golden]
    assert found == [pytest.approx(row, abs=1e-4) for row in wanted]


def test_every_unit_finds_what_it_runs() -> None:
    for unit in (CHECKOUT / "systemd").glob("*.service"):
        bridge = re.search(r"^ExecStart=\S+ bridge (\w+)", unit.read_text(), re.MULTILINE)
        assert bridge is None or bridge[1] in EXTRAS, unit.name


def test_it_has_the_versions_of_the_constraints() -> None:
    constraints = _pins((CHECKOUT / "constraints.txt").read_text())
    for name, versions in _pins(REQUIREMENTS.read_text()).items():
        if name in constraints:
            assert constraints[name] <= versions, f"{name}: run 'make requirements'"


def test_the_version_is_the_one_that_runs() -> None:
    import edgeser

    assert version() == edgeser.__version__


@pytest.mark.parametrize("script", ["preinst", "postinst", "prerm", "postrm"])
def test_the_scripts_of_the_package_are_sound(script: str) -> None:
    file = DEBIAN / f"edgeser.{script}"
    assert subprocess.run(["sh", "-n", file], capture_output=True, text=True).stderr == ""
    text = file.read_text()
    assert "set -e" in text
    assert "#DEBHELPER#" in text


def test_program_share_has_what_shells_and_man_look_for(tmp_path: Path) -> None:
    filler = [CHECKOUT / "tools/program-share", tmp_path, sys.executable]
    subprocess.run(filler, check=True, env={**os.environ, "PYTHONPATH": str(CHECKOUT / "edge")})
    share = tmp_path / "share"
    assert (share / "man/man1/edgeser.1").read_text().startswith(".TH EDGESER 1")
    assert {file.name for file in share.rglob("*edgeser*") if file.stat().st_size > 0} >= {
        "_edgeser",
        "edgeser",
        "edgeser.1",
        "edgeser.fish",
    }
    assert {file.name for file in (share / "edgeser").iterdir()} >= {
        "edgeser.toml",
        "pulseaudio.conf",
        "alerts.yml",
    }


def test_make_takes_this_version_and_a_checkout_of_any_name() -> None:
    """``dist/`` may hold packages of older ones."""
    targets = ["image", "image-check", "arm-check", "deb-check", "build/nats-server/.installed"]
    dry = ["make", "--dry-run", "--always-make", "CURDIR=/my checkout", *targets]
    done = subprocess.run(dry, cwd=CHECKOUT, check=True, capture_output=True, text=True)
    assert '"/my checkout/build/nats-server"' in done.stdout
    taken = re.findall(r"dist/edgeser\S+", done.stdout)
    assert len(taken) == 6
    assert all(re.match(rf"dist/edgeser[_-]{version()}-", name) for name in taken)


def test_the_compose_file_runs_this_version() -> None:
    services = yaml.safe_load((CHECKOUT / "release/image/compose.yaml").read_text())["services"]
    ours = [service for service in services.values() if "edgeser" in service["image"]]
    assert len(ours) == 2
    for service in ours:
        assert service["image"] == f"localhost/edgeser:${{EDGESER_VERSION:-{version()}}}"
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]


def test_the_settings_of_the_image_are_taken() -> None:
    from edgeser.settings.load import load_settings

    settings = load_settings(CHECKOUT / "release/image/settings.toml", environment={})
    healthcheck = (CHECKOUT / "release/image/healthcheck").read_text()
    assert f"http://{settings.metrics.listen}/healthz" in healthcheck


@pytest.mark.parametrize(
    ("text", "draft", "expected"),
    [
        ("# C\n\n## 1.0.0 (May)\n\nNew.\n\n## 0.9.0\n\nOld.\n", False, "New."),
        ("# C\n\n## Unreleased\n\n## 1.0.0\n\nNew.\n", False, "New."),
        ("# C\n\n## Unreleased\n\nSoon.\n\n## 1.0.0\n\nNew.\n", True, "Soon."),
        ("# C\n\n## Unreleased\n\nSoon.\n\n## 1.0.0\n\nNew.\n", False, None),
        ("# C\n\n## 0.9.0\n\nOld.\n", False, None),
    ],
)
def test_a_release_has_its_section_of_the_changelog(
    text: str, draft: bool, expected: str | None
) -> None:
    if expected is None:
        with pytest.raises(ReleaseError, match=r"CHANGELOG\.md"):
            changes(text, "1.0.0", draft)
    else:
        assert changes(text, "1.0.0", draft) == expected


def test_a_release_that_finds_no_room_leaves_the_one_before(
    tmp_path: Path, small_disk: Path
) -> None:
    made, output = tmp_path / "made", small_disk / "dist"
    for folder, text in ((made, "new"), (output, "old")):
        folder.mkdir()
        (folder / "SHA256SUMS").write_text(text)
    filler = filled(small_disk)
    with pytest.raises(ReleaseError, match=r"is as it was: .*No space left on device"):
        replace(output, made)
    assert (output / "SHA256SUMS").read_text() == "old"
    filler.unlink()
    replace(output, made)
    assert (output / "SHA256SUMS").read_text() == "new"
    assert [path.name for path in small_disk.iterdir()] == ["dist"]


def test_builds_that_differ_are_no_release() -> None:
    compare({"a": "1"}, {"a": "1"})
    with pytest.raises(ReleaseError, match="not the same bytes: b"):
        compare({"a": "1", "b": "2"}, {"a": "1", "b": "3"})


def test_of_the_container_that_an_image_was_made_in_nothing_is_left(tmp_path: Path) -> None:
    def image(container: str) -> bytes:
        file = tmp_path / "image.tar"
        config = json.dumps({"container": container, "config": {"User": "1"}})
        parts = {
            "layer.tar": "a layer",
            f"{container}.json": config,
            f"{container}/json": "of old",
            "manifest.json": json.dumps(
                [{"Config": f"{container}.json", "RepoTags": ["x:1"], "Layers": ["layer.tar"]}]
            ),
        }
        with tarfile.open(file, "w") as archive:
            for name, text in parts.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(text)
                archive.addfile(entry, io.BytesIO(text.encode()))
        leave_chance_out(file)
        (tmp_path / container).mkdir()
        subprocess.run(["tar", "-xf", file, "-C", tmp_path / container], check=True)
        return file.read_bytes()

    assert image("one") == image("two")
    (manifest,) = json.loads((tmp_path / "one/manifest.json").read_text())
    assert manifest["RepoTags"] == ["x:1"]
    described = json.loads((tmp_path / "one" / manifest["Config"]).read_text())
    assert described == {"config": {"User": "1"}}
    assert (tmp_path / "one" / manifest["Layers"][0]).read_text() == "a layer"


def test_a_release_imports_every_package_from_its_copy() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {Path(package).parts[0] for package in packages} == set(build.PARTS)


def test_a_release_is_of_the_commit_that_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = tmp_path / "checkout"
    (checkout / "edge/edgeser").mkdir(parents=True)
    (checkout / "edge/edgeser/__init__.py").write_text('__version__ = "1.0.0"\n')
    (checkout / "CHANGELOG.md").write_text("## Unreleased\n\nSoon.\n")

    def commit(day: int) -> None:
        one = ["git", "-C", str(checkout), "-c", "user.name=n", "-c", "user.email=n@x"]
        when = {**os.environ, "GIT_COMMITTER_DATE": f"2026-01-{day:02d}T00:00:00Z"}
        subprocess.run([*one, "commit", "-q", "--allow-empty", "-m", "."], check=True, env=when)

    subprocess.run(["git", "init", "-q", checkout], check=True)
    commit(1)
    taken = []

    def build_once(folder: Path, of: str, suites: list[str], image: bool) -> Path:
        taken.append((of, os.environ["SOURCE_DATE_EPOCH"]))
        commit(1 + len(taken))  # somebody works on
        (folder / "dist").mkdir(parents=True)
        (folder / "dist/file").write_text(folder.name)
        return folder / "dist"

    monkeypatch.setenv("SOURCE_DATE_EPOCH", "is given back after the test")
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    monkeypatch.setattr(source, "CHECKOUT", checkout)
    monkeypatch.setattr(build, "CHECKOUT", checkout)
    monkeypatch.setattr(build, "build_once", build_once)
    with pytest.raises(ReleaseError, match="not the same bytes: file"):
        build.release(tmp_path / "dist", [], image=False, draft=True)
    first, second = taken
    assert first == second


def test_an_unpacked_sdist_is_of_the_time_of_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.setattr(source, "CHECKOUT", tmp_path)
    (tmp_path / "PKG-INFO").write_text("")
    os.utime(tmp_path / "PKG-INFO", (1_700_000_000, 1_700_000_000))
    assert source.epoch() == 1_700_000_000


@pytest.mark.parametrize("builder", ["wheel", "deb", "build --draft --no-image"])
def test_a_build_that_fails_says_why_in_one_line(builder: str, tmp_path: Path) -> None:
    """Here: neither a commit nor an sdist, so no date."""
    shutil.copytree(CHECKOUT / "release", tmp_path / "release")
    (tmp_path / "edge/edgeser").mkdir(parents=True)
    (tmp_path / "edge/edgeser/__init__.py").write_text('__version__ = "1.0.0"\n')
    (tmp_path / "CHANGELOG.md").write_text("## Unreleased\n\n* It is new.\n")
    variables = {name: os.environ[name] for name in os.environ if name != "SOURCE_DATE_EPOCH"}
    done = subprocess.run(
        [sys.executable, "-m", *f"release.{builder}".split(), "-o", tmp_path / "dist"],
        cwd=tmp_path,
        env={**variables, "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "not a git repository" in done.stderr


def test_hashes_that_cannot_be_fetched_leave_those_there_are(tmp_path: Path) -> None:
    shutil.copytree(CHECKOUT / "release", tmp_path / "release")
    (tmp_path / "uv.py").write_text("import sys; sys.exit('no network')")
    command = [sys.executable, "-m", "release.requirements"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "no network\n")
    assert (tmp_path / "release/requirements.txt").read_text() == REQUIREMENTS.read_text()


def test_a_python_that_is_not_there_is_not_called_unwell(tmp_path: Path) -> None:
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\necho no network >&2\nexit 2\n")
    uv.chmod(0o755)
    asked = [CHECKOUT / "tools/pythons", uv, "3.98", "3.99"]
    done = subprocess.run(asked, capture_output=True, text=True)
    assert done.returncode == 1
    assert "not tried, for uv neither finds nor fetches: 3.98 3.99; name a path" in done.stderr
    assert "not well" not in done.stderr


def test_the_report_on_arm_hides_no_difference() -> None:
    event = {"type": "emotion", "stream": "file", "seq": 1, "time": 1.0, "scores": {"sad": 0.5}}
    pc = {
        **dict.fromkeys(("machine", "libc", "python", "numpy", "onnxruntime", "edgeser"), "x"),
        "golden": {"small": [["0x1.0p-1", "0x1.0p-2"]]},
        "events": [event],
    }
    text, same = report({**pc, "events": [{**event, "time": 2.0}]}, pc)
    assert same
    assert "| `emotion.file` | 1 | 1 | 1 |" in text
    assert "| `small` | 2 | 2 | 0.0e+00 |" in text
    text, same = report({**pc, "events": [{**event, "scores": {"sad": 0.500001}}]}, pc)
    assert same
    assert "| `emotion.file` | 1 | 1 | 0 |" in text
    assert "| `emotion.file[0].scores.sad` | 0.500001 | 0.5 |" in text
    other = {**event, "scores": {"sad": 0.25}}
    text, same = report(
        {**pc, "events": [other], "golden": {"small": [["0x1.0p-1", "0x0p+0"]]}}, pc
    )
    assert not same
    assert "| `emotion.file[0].scores.sad` | 0.25 | 0.5 |" in text
    assert "| `small` | 2 | 1 | 2.5e-01" in text
    text, same = report({**pc, "events": []}, pc)
    assert not same
    assert "| `how many emotion.file` | 0 | 1 |" in text


def test_the_page_says_of_arm_what_its_report_says() -> None:
    page = (CHECKOUT / "docs/install.md").read_text()
    found = (CHECKOUT / "docs/reports/arm64/report.md").read_text()
    said = re.search(r"Of (\d+) emotion events, (\d+) are the same .* more than (\S+)\. ", page)
    assert said is not None
    events, same, worst = said.groups()
    assert f"| `emotion.file` | {events} | {events} | {same} |" in found
    assert float(worst) == max(map(float, re.findall(r"\| (\d\.\de-\d+) \(", found)))
