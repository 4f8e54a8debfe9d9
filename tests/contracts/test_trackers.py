"""What every tracker promises: all rows arrive, each once, also when it is told of them again; nobody is asked for a
network. Each is read back by means of its own."""

import json
import shutil
import sqlite3
import struct
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from grokscope import registry
from grokscope.cli import run as cli
from grokscope.store import Run
from grokscope.study import Study
from grokscope.track import courier
from grokscope.track import mirrors as mirrors_module
from grokscope.track.chosen import read_trackers
from grokscope.track.mirrors import Mirrors
from grokscope.train.driver import Interrupted, train
from tiny import TINY, tiny

ABSENT = {"wandb": "79 MB", "trackio": "needs an older pillow than the tested set"}
"""Why these are not in everybody's environment. Their tests run where they are installed."""
NAMES = list(registry.built_in("tracker"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train(tiny(), tmp_path_factory.mktemp("runs"))


@pytest.fixture(params=NAMES)
def name(request, monkeypatch, tmp_path):
    tracker = request.param
    if find_spec(registry.load("tracker", tracker).package) is None:
        pytest.skip(f"{tracker} is not installed ({ABSENT.get(tracker, '55 MB')}): pip install 'grokscope[{tracker}]'")
    for variable in ("WANDB_MODE", "WANDB_PROJECT", "TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(mirrors_module, "_hung", set())
    for variable in ("http_proxy", "https_proxy"):  # whoever asks for a network gets none
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    yield tracker
    courier._close_all()


def copy_of(run, folder):
    return Run(Path(shutil.copytree(run.path, folder / run.id)))


def expected(run):
    """Step -> its numbers."""
    return {
        row["step"]: {key: value for key, value in row.items() if key != "step" and value is not None}
        for row in run.rows()
    }


@pytest.mark.slow
def test_all_rows_arrive_once_with_what_the_run_came_to(name, trained, tmp_path, capsys):
    run = copy_of(trained, tmp_path)
    for _ in range(2):  # the second time there is nothing new
        assert cli(["track", str(run.path), "--to", name, "--json"]) == 0
        (result,) = json.loads(capsys.readouterr().out)
        assert (result["rows"], result["problem"]) == (12, "")
    rows, summary = READ[name](run, tmp_path)
    wanted = expected(run)
    assert [step for step, _ in rows] == list(wanted), "in order, each once"
    for step, values in rows:
        assert values == pytest.approx(wanted[step], rel=1e-6), step
    assert "memorized" in json.dumps(summary) or "underfit" in json.dumps(summary)
    assert "60" in json.dumps(summary)


@pytest.mark.slow
def test_mirrored_while_it_trains_interrupted_and_resumed(name, tmp_path, monkeypatch):
    monkeypatch.setattr(mirrors_module, "HURRY_S", 60.0)  # some take seconds to start
    with Mirrors(read_trackers(name)) as mirrors, pytest.raises(Interrupted):
        train(tiny(), tmp_path, watcher=mirrors.watching(None), interrupt_at=35)
    run = Run(tmp_path / tiny().run_id())
    max((run.path / "resume").glob("*.pt")).unlink()  # as if it had been killed: the last rows come again
    with Mirrors(read_trackers(name)) as mirrors:
        train(tiny(), tmp_path, watcher=mirrors.watching(None))
    assert mirrors.places().keys() == {name}
    rows, _ = READ[name](run, tmp_path)
    assert [step for step, _ in rows] == list(expected(run))


@pytest.mark.slow
def test_runs_of_a_stack_are_mirrored_side_by_side(name, tmp_path):
    study = Study.from_dict({**TINY, "seeds": [0, 1, 2], "track": [name]})
    study.run(workers=0, root=tmp_path / "runs", engine="stacked")
    for config in study.runs():
        run = Run(tmp_path / "runs" / config.run_id())
        rows, _ = READ[name](run, tmp_path)
        assert [step for step, _ in rows] == list(expected(run))
        for step, values in rows:
            assert values == pytest.approx(expected(run)[step], rel=1e-6), step


# -- reading back -----------------------------------------------------------------------------------------------------


def from_tensorboard(run, _):
    """By TensorBoard's own reader, in a process of its own: the tests import no tracker."""
    code = (
        "import json, sys\n"
        "from tensorboard.backend.event_processing.event_accumulator import EventAccumulator\n"
        "read = EventAccumulator(sys.argv[1], size_guidance={'scalars': 0, 'tensors': 0}); read.Reload()\n"
        "tags = read.Tags()\n"
        "print(json.dumps({'scalars': {t: [(e.step, e.value) for e in read.Scalars(t)] for t in tags['scalars']},\n"
        "    'text': {t: [e.tensor_proto.string_val[0].decode() for e in read.Tensors(t)] for t in tags['tensors']\n"
        "             if not t.startswith('_hparams')},\n"
        "    'hparams': '_hparams_/session_start_info' in read.summary_metadata}))\n"
    )
    (events,) = (run.path / "tensorboard").iterdir()
    done = subprocess.run([sys.executable, "-c", code, str(events)], capture_output=True, text=True, check=True)
    data = json.loads(done.stdout)
    assert data["hparams"]
    assert '"p": 7' in data["text"]["config"][0]
    rows: dict[int, dict[str, float]] = {}
    for tag, events in data["scalars"].items():
        for step, value in events:
            if not tag.startswith("summary/"):
                assert tag not in rows.setdefault(step, {}), "once"
                rows[step][tag] = value
    summary = {tag: events[-1][1] for tag, events in data["scalars"].items() if tag.startswith("summary/")}
    assert summary["summary/step"] == 60
    return sorted(rows.items()), {**summary, "verdict": data["text"]["verdict"]}


def wandb_records(path):
    """The records of a W&B file, which is a LevelDB log: blocks of 32 KiB, fragments with a header of seven bytes."""
    data, at, whole = path.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while at < len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = struct.unpack("<HB", data[at + 4 : at + 7])
        if kind == 0:
            break
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield whole
            whole = b""


def from_wandb(run, _):
    pb = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    key = json.loads((run.path / "track" / "wandb.jsonl").read_text().splitlines()[0])["key"]
    (path,) = (run.path.parent / "wandb").glob(f"offline-run-*/run-{key}.wandb")
    rows, summary, config = [], {}, {}
    for raw in wandb_records(path):
        record = pb.Record.FromString(raw)
        if record.HasField("run"):
            config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
            assert record.run.display_name == run.id
            assert record.run.run_group == "custom"
        if record.HasField("history"):
            values = {item.key or ".".join(item.nested_key): json.loads(item.value_json)
                      for item in record.history.item}  # fmt: skip
            rows.append((record.history.step.num, {k: v for k, v in values.items() if not k.startswith("_")}))
        if record.HasField("summary"):
            summary |= {i.key or ".".join(i.nested_key): json.loads(i.value_json) for i in record.summary.update}
    assert config["task"]["p"] == 7
    return rows, summary


def from_trackio(run, folder):
    with sqlite3.connect(folder / "trackio" / "grokscope.db") as db:
        found = db.execute("select run_name, step, metrics from metrics order by id").fetchall()
    ours = [(name, step, json.loads(text)) for name, step, text in found if name.startswith(run.id)]
    assert len({name for name, _, _ in ours}) == 1
    rows = [(step, values) for _, step, values in ours]
    summary = {key: value for _, values in rows for key, value in values.items() if key.startswith("summary/")}
    return [(step, values) for step, values in rows if not any(k.startswith("summary/") for k in values)], summary


READ = {"tensorboard": from_tensorboard, "wandb": from_wandb, "trackio": from_trackio}


def test_every_built_in_tracker_is_read_back():
    assert READ.keys() == set(NAMES)
