"""The figures. Each answers the one question in its title and goes with a table of what it shows.

Common to all: a panel a model, tasks under their category, a category's colour the same everywhere, 95 %
intervals, and a labelled blank where a task is insufficient. Equal tables and settings give equal bytes.
"""

from skillprobe.figures.ablation import ablation
from skillprobe.figures.agreement import agreement
from skillprobe.figures.behaviour import behaviour
from skillprobe.figures.probes import layer_curves, specialist_against_general
from skillprobe.figures.responses import compliance
from skillprobe.figures.robustness import robustness
from skillprobe.figures.scorecard import scorecard
from skillprobe.figures.similarity import similarity
from skillprobe.figures.specificity import specificity
from skillprobe.figures.style import Figure
from skillprobe.figures.time import time_courses
from skillprobe.figures.transfer import transfer

__all__ = [
    "Figure",
    "ablation",
    "agreement",
    "behaviour",
    "compliance",
    "layer_curves",
    "robustness",
    "scorecard",
    "similarity",
    "specialist_against_general",
    "specificity",
    "time_courses",
    "transfer",
]
