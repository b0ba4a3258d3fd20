"""Model cards: the metadata of each shipped artefact, with the plots of its reports."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path, PurePosixPath

import matplotlib
from matplotlib.figure import Figure

from edgeser.model.artefact import Estimate, TrainingRecord, shipped_models
from edgeser.model.model import Model, load_model
from edgeser.model.unseen import Unseen, read_unseen

PLOTS = {"confusion.png": "Confusion matrix", "curves.png": "Training"}
UNSEEN = "unseen/unseen.json"
"""The one of a model's reports that is about unseen voices."""


def pages(root: Path) -> dict[str, str]:
    """Markdown of a card for each model, and of the page that lists them, by file name.

    Every model is loaded, which checks its golden vectors.
    """
    made = {}
    for name in shipped_models():
        model = load_model(name)
        made[f"reference/models/{name}.md"] = card(model, root)
        for folder in _folders(model, root)[:1]:
            if (folder / UNSEEN).is_file():
                made[f"reference/models/{name}-unseen.svg"] = unseen_plot(folder / UNSEEN)
    listed = "\n".join(f"models/{name}" for name in shipped_models())
    made["reference/models.md"] = (
        "# Model cards\n\nWhat each artefact says of itself, and how it was found to be. "
        "[Models](../models.md) compares them and says what they are not for.\n\n"
        f"```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n"
    )
    return made


def card(model: Model, root: Path) -> str:
    """The card of a model."""
    info, window = model.info, model.info.window
    rows = {
        "labels": ", ".join(info.labels),
        "file": f"{model.artefact.size / 1e6:.1f} MB, {info.precision}",
        "SHA-256": f"`{model.ref.sha256}`",
        "hears": f"windows of {window.min_seconds:g} to {window.seconds:g} s, whole segments of up "
        f"to {window.max_seconds:g} s",
        "sees": f"{info.front_end.width} values every "
        f"{1000 * info.front_end.hop / info.front_end.sample_rate:g} ms, normalised by "
        f"`{info.front_end.normalise}`",
        "temperature": f"{info.temperature:.3f}",
        "`unknown` below": f"{info.abstain_below:.2f}",
        **_trained(info.training),
        **_unseen(read_unseen(model.artefact.path, model.ref.sha256)),
    }
    lines = [f"# {info.name}", "", f"Version {info.version}, format {info.format}.", ""]
    lines += ["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows.items()), ""]
    lines += _reported(model, root)
    lines += ["## Take it", "", "```sh", f"edgeser run --model {info.name}", "```"]
    return "\n".join(lines) + "\n"


def _trained(training: TrainingRecord) -> dict[str, str]:
    rows = {
        "trained on": f"{', '.join(training.corpora)}, {training.date}",
        "licence of the data": training.licence,
        "licences": ", ".join(f"{name}: {text}" for name, text in training.licences.items()),
        "attribution": " ".join(training.attribution),
    }
    if training.is_evaluated:
        rows["left out of its corpus"] = training.protocol
        rows |= {
            name: _percent(figure)
            for name, figure in {"UA": training.ua, "WA": training.wa, "F1": training.f1}.items()
        }
        rows["calibration error"] = f"{training.ece * 100:.1f} %"
    return {name: text for name, text in rows.items() if text}


def _unseen(unseen: Unseen | None) -> dict[str, str]:
    """Rows on unseen corpora: with nothing known of a voice, and with the most known."""
    if unseen is None:
        return {}
    title = f"UA of angry, happy, neutral, sad in {', '.join(unseen.corpora)}"
    ends = {row.known: row for row in (unseen.rows[0], unseen.rows[-1])}
    return {
        f"{title}; known of the voice: {known}": _percent(row.ua4) for known, row in ends.items()
    }


def _percent(figure: Estimate) -> str:
    return f"{figure.value * 100:.1f} % ({figure.low * 100:.1f} to {figure.high * 100:.1f})"


def unseen_plot(path: Path) -> str:
    """Mean recall on unseen corpora, by how much is known of each voice, as SVG."""
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    corpora = [corpus["corpus"] for corpus in rows[0]["corpora"]]
    with matplotlib.rc_context({"svg.hashsalt": path.name, "svg.fonttype": "none"}):
        figure = Figure(figsize=(7, 3.5), layout="constrained")
        axes = figure.add_subplot()
        for i, corpus in enumerate(corpora):
            found = [100 * row["corpora"][i]["figures"]["ua4"] for row in rows]
            axes.plot(found, range(len(rows)), marker="osD^v"[i % 5], linestyle="", label=corpus)
        axes.axvline(25, color="grey", linestyle=":", label="chance")
        axes.set_yticks(range(len(rows)), [row["known"] for row in rows])
        axes.invert_yaxis()
        axes.set_xlabel("UA %, of angry, happy, neutral and sad")
        axes.set_ylabel("known of the voice")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        file = StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def _folders(model: Model, root: Path) -> list[Path]:
    """The folder of reports with the model's name, and for a variant also the original's."""
    name = model.info.name
    names = dict.fromkeys((name, name.removesuffix(f"-{model.info.precision}")))
    folders = [root / "docs" / "reports" / name for name in names]
    return [folder for folder in folders if folder.is_dir()]


def _reported(model: Model, root: Path) -> list[str]:
    """The plots and reports in the model's folders."""
    folders = _folders(model, root)
    if not folders:
        return ["No report on it is kept with this version.", ""]
    lines = ["## Reports", ""]
    for folder in folders:
        here = PurePosixPath("../../reports") / folder.name
        for report in sorted(folder.rglob("*.md")):
            title = report.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
            lines.append(f"* [{title}]({here / report.relative_to(folder).as_posix()})")
    for folder in folders:
        here = PurePosixPath("../../reports") / folder.name
        for plot, title in PLOTS.items():
            if (folder / plot).is_file():
                lines += ["", f"![{title}]({here / plot})"]
    if (folders[0] / UNSEEN).is_file():
        lines += ["", f"![Voices it never met]({model.info.name}-unseen.svg)"]
    return [*lines, ""]
