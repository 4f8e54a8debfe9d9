"""Saved studies as text: enough of their rows to judge every run again, offline and without weights.

studies/results/digits/manifest.json    every planned run, with machine, versions, commit
studies/results/digits/rows.csv         evaluations, thinned where no milestone, level or outcome changes by it
studies/results/digits/outcome.json     verdicts, expectations and hypotheses when it was saved
studies/results/digits/declared.json    what was declared before the runs began, where there are hypotheses
"""

from grokscope.study.saved.read import SavedResult, read_saved, saved_results
from grokscope.study.saved.write import save_study

__all__ = ["SavedResult", "read_saved", "save_study", "saved_results"]
