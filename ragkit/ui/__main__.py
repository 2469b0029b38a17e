"""`python -m ragkit.ui`: what `ragkit ui` runs."""

import sys

from ragkit.ui.launch import launch
from ragkit.ui.options import parse_options

if __name__ == "__main__":
    launch(parse_options(sys.argv[1:]))
