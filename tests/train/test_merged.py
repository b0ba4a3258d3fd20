"""Several corpora as one."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeser.errors import UserError
from edgeser_train.corpora import CORPORA, Corpus, Utterance, load_corpora, merged
from edgeser_train.corpora.merge import strictest
from tests.train.synthetic import make_emodb

LABELS = ("angry", "sad")


def corpus(name: str, licence: str = "CC0-1.0", recordings: str = "", **fields: str) -> Corpus:
    utterances = tuple(
        Utterance(f"{label}-1", Path("/nowhere"), "07", label, corpus=name, **fields)  # type: ignore[arg-type]
        for label in LABELS
    )
    return Corpus(name, licence, LABELS, utterances, recordings)


def test_names_speakers_sessions_and_groups_tell_where_they_are_from() -> None:
    one = corpus("emodb")
    other = corpus("ravdess4", "CC-BY-NC-SA-4.0", "ravdess", group="g", session="s", gender="male")
    both = merged([one, other])
    assert both.name == "emodb+ravdess4"
    assert both.licence == "CC-BY-NC-SA-4.0"
    assert both.labels == LABELS
    assert both.corpora == ("emodb", "ravdess4")
    assert both.speakers == ("emodb:07", "ravdess:07")
    first, _, third, _ = both.utterances
    assert (first.name, first.corpus, first.group, first.session) == (
        "emodb:angry-1",
        "emodb",
        "",
        "",
    )
    assert (third.name, third.corpus) == ("ravdess:angry-1", "ravdess4")
    assert (third.group, third.session, third.gender) == ("ravdess:g", "ravdess:s", "male")
    assert both.targets.tolist() == [0, 1, 0, 1]


def test_one_alone_stays_as_it_is() -> None:
    one = corpus("emodb")
    assert merged([one]) is one
    with pytest.raises(UserError, match="no corpus given"):
        merged([])


def test_other_labels_are_named() -> None:
    other = Corpus("big", "CC0-1.0", ("angry", "calm", "sad"), corpus("big").utterances)
    with pytest.raises(UserError, match=r"emodb and big .* sad and angry, calm, sad; .*--labels"):
        merged([corpus("emodb"), other])


def test_the_order_of_labels_is_the_first_corpus_s() -> None:
    other = Corpus("other", "CC0-1.0", ("sad", "angry"), corpus("other").utterances)
    assert merged([corpus("emodb"), other]).labels == ("angry", "sad")


def test_two_selections_of_the_same_recordings_do_not_merge() -> None:
    with pytest.raises(UserError, match="iemocap4 and iemocap4-all are of the same recordings"):
        merged([corpus("iemocap4", "", "iemocap"), corpus("iemocap4-all", "", "iemocap")])


def test_two_lists_of_one_name_are_told_so() -> None:
    with pytest.raises(UserError, match=r"two corpora are both named mine.*rename one"):
        merged([corpus("mine"), corpus("mine")])
    with pytest.raises(UserError, match=r"both named ravdess.*rename one"):
        merged([corpus("ravdess4", "", "ravdess"), corpus("ravdess")])


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        (["CC0-1.0"], "CC0-1.0"),
        (["CC-BY-NC-SA-4.0", "CC0-1.0", "ODbL-1.0"], "CC-BY-NC-SA-4.0"),
        (["CC0-1.0", "unspecified", "CC-BY-NC-SA-4.0"], "unspecified"),
        (
            ["LicenseRef-B", "CC0-1.0", "LicenseRef-A", "LicenseRef-B"],
            "LicenseRef-B AND LicenseRef-A",
        ),
    ],
)
def test_the_strictest_licence_is_that_of_all(licences: list[str], expected: str) -> None:
    assert strictest(licences) == expected


def test_corpora_are_loaded_by_name(emodb: Path, tmp_path: Path) -> None:
    assert load_corpora([f"emodb={emodb}"]).name == "emodb"
    with pytest.raises(UserError, match="of the same recordings"):
        load_corpora([f"emodb={emodb}", f"emodb={make_emodb(tmp_path)}"])


@pytest.mark.parametrize("name", sorted(CORPORA))
def test_the_wrong_folder_is_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("nothing here")
    for path in (tmp_path, tmp_path / "none", tmp_path / "readme.txt"):
        with pytest.raises(UserError, match=f"{name}.*{path.name}") as error:
            load_corpora([f"{name}={path}"])
        assert "\n" not in str(error.value)
