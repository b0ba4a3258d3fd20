"""What a user would otherwise take: openSMILE's ComParE_2016 functionals and an RBF-SVM.

python benchmarks/rivals/opensmile_svm.py --corpus emodb=FOLDER --protocol loso

The sounds and folds of `edgeser evaluate` with the same options. C is chosen inside each fold, on
speakers left out of its training part. Needs `pip install opensmile scikit-learn` (openSMILE's
licence is for research only: it is measured here, never shipped).
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks import script
from edgeser.pcm import SAMPLE_RATE
from edgeser_train.corpora import load_corpora
from edgeser_train.corpora.corpus import Utterance
from edgeser_train.data.protocols import folds_of

COSTS = (0.3, 1.0, 3.0, 10.0, 30.0)
INNER_FOLDS = 9


def main() -> None:
    parser = script.parser_of(__doc__)
    parser.add_argument(
        "--corpus", required=True, action="append", metavar="NAME=PATH", help="as edgeser evaluate"
    )
    parser.add_argument("--protocol", default="loso", help="as edgeser evaluate")
    asked = parser.parse_args()
    try:
        import numpy as np
        import opensmile  # noqa: F401
        from sklearn.metrics import balanced_accuracy_score, confusion_matrix
        from sklearn.model_selection import GridSearchCV, GroupKFold
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC
    except ImportError as error:
        print(f"skipped: {error}; pip install opensmile scikit-learn", file=sys.stderr)
        return
    corpus = load_corpora(asked.corpus)
    folds = folds_of(asked.protocol, corpus)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        features = np.stack(list(pool.map(functionals, corpus.utterances, chunksize=8)))
    labels = np.array([u.label for u in corpus.utterances])
    speakers = np.array([u.speaker for u in corpus.utterances])
    true: list[str] = []
    said: list[str] = []
    for fold in folds:
        train, test = list(fold.train), list(fold.test)
        search = GridSearchCV(
            make_pipeline(StandardScaler(), SVC(class_weight="balanced")),
            {"svc__C": COSTS},
            scoring="balanced_accuracy",
            cv=GroupKFold(min(INNER_FOLDS, len(set(speakers[train])))),
            n_jobs=-1,
        )
        search.fit(features[train], labels[train], groups=speakers[train])
        answers = search.predict(features[test])
        true += list(labels[test])
        said += list(answers)
        right = (answers == labels[test]).mean()
        print(f"fold {fold.name}: {100 * right:.1f} %, C {search.best_params_['svc__C']}")
    print(confusion_matrix(true, said, labels=list(corpus.labels)))
    wa, ua = np.mean(np.array(true) == np.array(said)), balanced_accuracy_score(true, said)
    print(f"{len(true)} answers, WA {100 * wa:.1f} %, UA {100 * ua:.1f} %")


def functionals(utterance: Utterance) -> object:
    """The 6373 features of an utterance, shape (6373,)."""
    import numpy as np
    import opensmile

    smile = opensmile.Smile(
        feature_set=opensmile.FeatureSet.ComParE_2016,
        feature_level=opensmile.FeatureLevel.Functionals,
    )
    sound = utterance.samples().astype(np.float32) / 32768
    return smile.process_signal(sound, SAMPLE_RATE).to_numpy()[0]


if __name__ == "__main__":
    script.run(main)
