"""What half precision and integers cost and gain, fold by fold of an evaluation.

python benchmarks/quantised.py RUN --corpus emodb=FOLDER -o FOLDER [--labels A,B] [--rounds 200]

RUN is a folder of `edgeser evaluate`, of one seed; corpora and labels are those that it was given.
Writes quantised.json and quantised.md.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import msgspec
import torch

from benchmarks import script
from edgeser_export.variants import ROUNDS, compare
from edgeser_export.variants_text import markdown
from edgeser_train.corpora import load_corpora
from edgeser_train.files import write_whole


def main() -> None:
    parser = script.parser_of(__doc__)
    parser.add_argument("run", type=Path, help="folder of `edgeser evaluate`")
    parser.add_argument("--corpus", required=True, action="append", metavar="NAME=PATH")
    parser.add_argument("--labels", metavar="A,B", help="as the evaluation was given")
    parser.add_argument("-o", "--output", required=True, type=Path, help="a folder")
    parser.add_argument("--rounds", type=script.count, default=ROUNDS, help="of the timings")
    options = parser.parse_args()
    torch.set_num_threads(1)
    words = ["python", "benchmarks/quantised.py", *script.without_folders(sys.argv[1:])]
    corpora = load_corpora(options.corpus, options.labels)
    report = compare(options.run, corpora, shlex.join(words), options.rounds)
    write_whole(options.output / "quantised.json", msgspec.json.format(msgspec.json.encode(report)))
    write_whole(options.output / "quantised.md", markdown(report).encode())
    print(markdown(report))


if __name__ == "__main__":
    script.run(main)
