"""Mutated logs of every format: a trajectory or one ValueError with words, never a traceback of another kind."""

import warnings
from pathlib import Path
from zlib import crc32

import pytest

from fuzz.mutations import mutants
from grokscope.trajectory import Trajectory, from_log
from grokscope.trajectory.logs.guess import suggest
from grokscope.trajectory.logs.reading import column_names

CASES = sorted((Path(__file__).parent.parent / "cases" / "logs").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda p: p.name)
def test_a_mutated_log_is_a_trajectory_or_one_message(case: Path, tmp_path: Path):
    found = suggest(column_names(case))
    columns = {"step": found.step or "Step", "train": found.train or "Value", "held_out": found.held_out or "acc"}
    path, refusals = tmp_path / case.name, []
    for number, data in enumerate(mutants(case.read_bytes(), crc32(case.name.encode()), 150)):
        path.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                repeated = "last" if number % 2 else "error"
                assert isinstance(from_log(path, **columns, repeated=repeated), Trajectory)
            except ValueError as error:
                refusals.append(str(error))
    assert refusals
    assert all(0 < len(words) < 5000 for words in refusals)
