"""What a user would otherwise take: openSMILE's ComParE_2016 functionals and an RBF-SVM.

python benchmarks/rivals/opensmile_svm.py --corpus FOLDER

Leave one speaker of Emo-DB's four classes out, the files and folds of `edgeser evaluate --corpus
emodb=FOLDER --protocol loso`. C is chosen inside each fold, on speakers left out of its training
part. Needs `pip install opensmile scikit-learn` (openSMILE's licence is for research only: it is
measured here, never shipped).
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from edgeser.errors import UserError
from edgeser_train.corpora import load_corpus

COSTS = (0.3, 1.0, 3.0, 10.0, 30.0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", required=True, type=Path, help="folder of Emo-DB")
    folder: Path = parser.parse_args().corpus
    try:
        import numpy as np
        import opensmile  # noqa: F401
        from sklearn.metrics import balanced_accuracy_score, confusion_matrix
        from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC
    except ImportError as error:
        print(f"skipped: {error}; pip install opensmile scikit-learn", file=sys.stderr)
        return 0
    try:
        corpus = load_corpus(f"emodb={folder}")
    except UserError as error:
        print(f"opensmile_svm: {error}", file=sys.stderr)
        return 2
    files = [u.path for u in corpus.utterances]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        features = np.stack(list(pool.map(functionals, files, chunksize=8)))
    labels = np.array([u.label for u in corpus.utterances])
    speakers = np.array([u.speaker for u in corpus.utterances])
    said = np.empty_like(labels)
    for train, test in LeaveOneGroupOut().split(features, labels, speakers):
        search = GridSearchCV(
            make_pipeline(StandardScaler(), SVC(class_weight="balanced")),
            {"svc__C": COSTS},
            scoring="balanced_accuracy",
            cv=LeaveOneGroupOut(),
            n_jobs=-1,
        )
        search.fit(features[train], labels[train], groups=speakers[train])
        said[test] = search.predict(features[test])
        right = (said[test] == labels[test]).mean()
        print(
            f"speaker {speakers[test][0]}: {100 * right:.1f} %, C {search.best_params_['svc__C']}"
        )
    print(confusion_matrix(labels, said, labels=list(corpus.labels)))
    wa, ua = (said == labels).mean(), balanced_accuracy_score(labels, said)
    print(f"{len(files)} files, WA {100 * wa:.1f} %, UA {100 * ua:.1f} %")
    return 0


def functionals(file: Path) -> object:
    """The 6373 features of a file, shape (6373,)."""
    import opensmile

    smile = opensmile.Smile(
        feature_set=opensmile.FeatureSet.ComParE_2016,
        feature_level=opensmile.FeatureLevel.Functionals,
    )
    return smile.process_file(str(file)).to_numpy()[0]


if __name__ == "__main__":
    sys.exit(main())
