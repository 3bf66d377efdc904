"""Published scores of Dreamer and its baselines, under this repository's task names.

The numbers are in the JSON files of this folder; README.md names the source and the protocol of each.
"""

from common.analysis.reference.published import (
    Constants,
    FinalScore,
    PublishedCurve,
    band,
    constants,
    curves,
    finals,
    normalise,
)
from common.analysis.reference.task_names import find

__all__ = ["Constants", "FinalScore", "PublishedCurve", "band", "constants", "curves", "finals", "find", "normalise"]
