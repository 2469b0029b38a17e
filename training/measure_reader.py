"""Measure a reader: F1 on SQuAD's development questions, each given its paragraph.

python -m training.measure_reader WEIGHTS.onnx squad-dev-v1.1.json [--limit 1000]
"""

import argparse
import random
from pathlib import Path

from ragkit.evaluation.answer_metrics import exact_match, f1
from ragkit.evaluation.stats import estimate
from ragkit.models.cross_encoder import CrossEncoderModel
from training.questions import squad


def main() -> None:
    """Read and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--limit", type=int, default=1000)
    options = parser.parse_args()
    model = CrossEncoderModel(options.weights)
    asked = list(squad(options.file))
    chosen = random.Random(0).sample(asked, min(options.limit, len(asked)))
    matches, overlaps = [], []
    for item in chosen:
        reading = model.read(item.query, [item.text])[0]
        span = reading.best()
        found = item.text[span.start : span.end] if span else ""
        matches.append(float(exact_match(found, item.answers)))
        overlaps.append(f1(found, item.answers))
    for name, values in (("EM", matches), ("F1", overlaps)):
        found_mean = estimate(values)
        print(f"{name} {found_mean.value:.3f} ({found_mean.low:.3f} to {found_mean.high:.3f})")


if __name__ == "__main__":
    main()
