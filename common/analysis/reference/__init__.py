"""Published scores of Dreamer and of what it was compared with, under our names of tasks.

The figures are the JSON files beside this one; README.md says where each is from and what it measures.
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
