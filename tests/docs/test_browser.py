"""The example for the browser hears what edgeser predict hears, from a file and a microphone."""

from __future__ import annotations

import base64
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr

from edgeser.events.schema import EmotionEvent
from edgeser.pcm import Samples
from edgeser.recognizer import Recognizer
from tests.page.world import PATIENCE_S, chromium, until
from tests.sounds import SPEECH_SEGMENTS, speech
from tools.documentation.browser import MODEL, assemble

SPOKEN_S = 7.0
HEARD = """() => {
    const { sound } = edgeser.heard();
    const bytes = new Uint8Array(sound.buffer, sound.byteOffset, sound.byteLength);
    let text = "";
    for (const byte of bytes) text += String.fromCharCode(byte);
    return btoa(text);
}"""

DROP = """() => {
    const dropped = new DataTransfer();
    dropped.items.add(new File(["x"], "x.wav"));
    const event = new DragEvent("drop", { dataTransfer: dropped, cancelable: true });
    document.getElementById("drop").dispatchEvent(event);
}"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def sounds() -> Iterator[Path]:
    """The sample as it is, and at another rate in another format."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        soundfile.write(folder / "speech.wav", speech(), 16_000)
        other = soxr.resample(speech().astype(np.float64) / 32768, 16_000, 44_100, quality="VHQ")
        soundfile.write(folder / "speech.flac", other, 44_100, "PCM_24")
        soundfile.write(folder / "odd.flac", speech()[: 16_000 * 2 - 1_955], 16_000)
        soundfile.write(folder / "spoken.wav", speech()[: 16_000 * 15], 16_000)
        (folder / "noise.wav").write_bytes(b"no sound at all")
        soundfile.write(folder / "short.wav", np.zeros(100, np.int16), 16_000)
        yield folder


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory, sounds: Path) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("browser")
    assemble(folder)
    microphone = f"--use-file-for-fake-audio-capture={sounds / 'spoken.wav'}"
    fake = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", microphone)
    with served(folder) as address, chromium(*fake) as browser:
        context = browser.new_context(permissions=["microphone"])
        tab = context.new_page()
        tab.set_default_timeout(1000 * PATIENCE_S)
        asked: list[str] = []
        wrong: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.goto(f"{address}/index.html")
        says(tab, "ready")
        yield tab
        assert wrong == []
        local = (address, "data:", "blob:")
        assert [url for url in asked if not url.startswith(local)] == []


@contextmanager
def served(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def says(tab: Any, words: str) -> None:
    until(lambda: words in tab.inner_text("#state"), f"{words!r} in {tab.inner_text('#state')!r}")


def choose(tab: Any, file: Path) -> None:
    """Also the file that is chosen already."""
    tab.set_input_files("#file", [])
    tab.evaluate("document.getElementById('state').textContent = 'asked'")
    tab.set_input_files("#file", file)


def agrees(tab: Any, segments: Sequence[EmotionEvent], tolerance: float) -> None:
    """Each of the segments, marked on the page, is judged as ``predict`` has judged it."""
    for segment in segments:
        tab.fill("#from", str(segment.start))
        tab.fill("#to", str(segment.end))
        tab.evaluate("document.getElementById('state').textContent = 'asked'")
        tab.click("#stretch button")
        says(tab, f"{segment.end - segment.start:.2f} s heard")
        found = [
            float(score.get_attribute("data-score"))
            for score in tab.locator("#scores dd[data-score]").all()
        ]
        np.testing.assert_allclose(found, list(segment.scores.values()), atol=tolerance)
        assert tab.locator("#scores dt").all_inner_texts() == list(segment.scores)
        assert tab.inner_text("#label") == segment.label


def predicted(samples: Samples) -> list[EmotionEvent]:
    return list(Recognizer(MODEL).samples(samples))


def test_a_file_is_heard_as_predict_hears_it(tab: Any, sounds: Path) -> None:
    tab.set_input_files("#file", sounds / "speech.wav")
    says(tab, f"file of 16000 Hz; {len(speech()) / 16_000:.2f} s heard")
    segments = predicted(speech())
    assert len(segments) == SPEECH_SEGMENTS
    agrees(tab, segments, 1e-3)


def test_another_rate_is_resampled_and_the_page_says_by_what(tab: Any, sounds: Path) -> None:
    tab.set_input_files("#file", sounds / "speech.flac")
    says(tab, "file of 44100 Hz, resampled to 16000 Hz by libsamplerate")
    # Two resamplers, libsamplerate and soxr, and what soxr gives is rounded to 16 bits.
    agrees(tab, list(Recognizer(MODEL).file(sounds / "speech.flac")), 5e-3)


def test_the_microphone_is_heard_as_predict_hears_it(tab: Any) -> None:
    tab.click("#speak")
    until(lambda: (tab.evaluate("edgeser.heard().seconds") or 0) > SPOKEN_S, "seven seconds")
    tab.click("#speak")
    says(tab, "microphone at")
    heard = np.frombuffer(base64.b64decode(tab.evaluate(HEARD)), np.float32)
    assert len(heard) > 16_000 * SPOKEN_S * 0.9
    segments = predicted(np.clip(np.round(heard * 32768), -32768, 32767).astype(np.int16))
    assert segments, "the fake microphone speaks"
    agrees(tab, segments, 1e-3)


def test_a_stretch_of_any_length_is_heard(tab: Any, sounds: Path) -> None:
    choose(tab, sounds / "odd.flac")
    says(tab, "1.88 s heard")
    assert tab.input_value("#to") == "1.8778125"
    tab.fill("#from", "0.5")
    tab.click("#stretch button")
    says(tab, "1.38 s heard")


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("0", "99", "the sound ends at 1.8778125 s"),
        ("1.5", "1", "the stretch ends before it begins"),
        ("1", "1.01", "too short: it takes at least 0.03 s"),
    ],
)
def test_a_stretch_that_is_none_is_refused_in_words(
    tab: Any, sounds: Path, start: str, end: str, words: str
) -> None:
    choose(tab, sounds / "odd.flac")
    says(tab, "1.88 s heard")
    tab.fill("#from", start)
    tab.fill("#to", end)
    tab.click("#stretch button")
    says(tab, f"That did not work: {words}")
    assert tab.is_hidden("#result")
    tab.fill("#from", "0.5")
    tab.fill("#to", "1.5")
    tab.click("#stretch button")
    says(tab, "1.00 s heard")
    assert tab.is_visible("#result")


@pytest.mark.parametrize(("file", "words"), [("noise.wav", "did not work"), ("short.wav", "short")])
def test_what_is_no_speech_is_refused_in_words(
    tab: Any, sounds: Path, file: str, words: str
) -> None:
    choose(tab, sounds / "odd.flac")
    says(tab, "s heard")
    choose(tab, sounds / file)
    says(tab, words)
    assert tab.is_hidden("#result"), "it is of the file before"


def test_nothing_is_taken_before_the_model_is_there(tab: Any) -> None:
    early, held = tab.context.new_page(), list[Any]()
    early.set_default_timeout(1000 * PATIENCE_S)
    early.route("**/model.onnx", lambda route: held.append(route))
    early.goto(tab.url, wait_until="commit")
    says(early, "loading the model")
    until(lambda: early.evaluate("1") and held, "the model is asked for")
    assert early.is_disabled("#file")
    early.evaluate(DROP)
    says(early, "the model is not loaded")
    held[0].continue_()
    says(early, "ready")
    assert early.is_enabled("#file")
    early.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_footer_is_as_easy_to_read_as_the_rest(tab: Any, scheme: str) -> None:
    tab.emulate_media(color_scheme=scheme)
    colour = "(name) => getComputedStyle(document.querySelector(name)).color"
    assert tab.evaluate(colour, "footer p") == tab.evaluate(colour, "main > p")
