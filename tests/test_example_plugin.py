"""The package in ``examples/plugin`` is installed, without a network, and keeps all promises of built-in things."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import grokscope

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Variables under which Python finds the package: built from a copy, so that nothing is left in the example."""
    folder = tmp_path_factory.mktemp("plugin")
    source = shutil.copytree(ROOT / "examples" / "plugin", folder / "source")
    target = folder / "installed"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--target", str(target), str(source)], check=True, timeout=300)
    paths = (str(target), str(Path(grokscope.__file__).parents[1]))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}


def outcome(command, environment, folder):
    done = subprocess.run(
        [sys.executable, *command],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_listed_and_its_run_trains_and_is_measured(environment, tmp_path):
    assert "lion" in outcome(["-m", "grokscope.cli", "list", "optimizers"], environment, tmp_path)
    file = str(ROOT / "examples" / "plugin" / "run.toml")
    outcome(["-m", "grokscope.cli", "train", file, "--root", "runs"], environment, tmp_path)
    query = """select "regime.optimizer" as name, max(weight_signs_positive) as share from runs r join metrics m
               on m.run = r.id where "regime.optimizer.betas" = '[0.9, 0.98]' group by 1"""
    found = outcome(["-m", "grokscope.cli", "sql", query, "--json"], environment, tmp_path)
    assert '"lion"' in found
    assert "null" not in found


@pytest.mark.parametrize("tests", ["tests/contracts", "tests/resume/test_resume.py"])
def test_it_keeps_the_promises_of_built_in_things(environment, tests):
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", tests, "-k", "lion or weight_signs"]
    assert "passed" in outcome(command, environment, ROOT)
