"""What `study test` says of when a hypothesis was declared."""

import pytest

from grokscope import cli

STUDY = """
schema = 2
name = "decay"
seeds = [0, 1]
task = { name = "modular", p = 7 }
model = { name = "embedding-mlp", embedding = 4, hidden = [8] }
budget = { steps = 60 }
axes = { "regime.weight_decay" = [0.5, 0.1] }

[[hypothesis]]
name = "more decay groks sooner"
quantity = "T_gen"
of = { "regime.weight_decay" = 0.5 }
to = { "regime.weight_decay" = 0.1 }
direction = "earlier"
"""


@pytest.mark.slow
def test_before_and_after_the_first_run(tmp_path, capsys):
    file, root = tmp_path / "decay.toml", tmp_path / "runs"
    file.write_text(STUDY)
    assert cli.run(["study", "test", str(file), "--root", str(root)]) == 1
    before = capsys.readouterr().out
    assert "(will be declared when the first run begins)" in before
    assert "not declared yet" not in before
    assert cli.run(["worker", str(file), "--root", str(root), "--seeds", "0"]) == 0
    capsys.readouterr()
    assert cli.run(["study", "test", str(file), "--root", str(root)]) == 1
    assert "more decay groks sooner (declared on 2" in capsys.readouterr().out
