"""Published scores of Dreamer and of what it was compared with, under our names of tasks.

The figures are the JSON files beside this one; README.md says where each is from and what it measures.
"""

from common.reference.names import find
from common.reference.tables import Constants, Curve, Final, band, constants, curves, finals, normalise

__all__ = ["Constants", "Curve", "Final", "band", "constants", "curves", "finals", "find", "normalise"]
