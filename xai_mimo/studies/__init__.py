"""Studies: a table in, a network without MAIL and networks with it, their scores and their maps side by side.

House rule: this room trains and writes; it computes no attribution and no metric of its own (those live in
`explainers` and `metrics`) and draws nothing (`reports`). May import every room below it but `explainers`; what it
compares, it compares through `comparison`. All that a study makes lies in its output folder, and a run that was cut
short goes on where it stopped.
"""

from xai_mimo.studies.settings import StudySettings, load_settings, shipped
from xai_mimo.studies.study import StudyResult, run_study
from xai_mimo.studies.table import read_table

__all__ = ["StudyResult", "StudySettings", "load_settings", "read_table", "run_study", "shipped"]
