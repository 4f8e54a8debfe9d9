"""A study on a real Ray of two nodes on this machine, one of which is lost in the middle of a run."""

import json
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from execute_studies import FOREVER, log_of, trained_once, write_study
from grokscope import cli
from grokscope.execute.boards import Lines
from grokscope.execute.ray_tasks import OBJECTS
from grokscope.execute.stacks import Stacking
from grokscope.store import Run, claims
from grokscope.study import Study
from grokscope.train.stacked.driver import train_stack
from tiny import same_folder_content

ray = pytest.importorskip("ray", reason="the extra ray is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Ray's own, of many kinds
WAIT_S = 300


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Ray gives its own processes so long to start, on a machine that is busy."""
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "240")


def test_an_address_where_no_ray_is(tmp_path):
    study = Study.load(write_study(tmp_path))
    with pytest.raises(ValueError, match=r"--address: no Ray answers at 127\.0\.0\.1:1"):
        study.run(executor=study.on_ray(1, tmp_path, "127.0.0.1:1"), root=tmp_path)


@pytest.fixture
def cluster():
    """Two nodes with one CPU each, the first of which the test is connected to."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": OBJECTS, "include_dashboard": False}
    try:
        two = Cluster(initialize_head=True, head_node_args=node)
    except Exception as error:  # on a machine too busy to start its processes in Ray's own time
        pytest.skip(f"Ray does not start here: {error}")
    try:
        two.add_node(**{k: v for k, v in node.items() if k != "include_dashboard"})
        two.wait_for_nodes()
        yield two
    finally:
        ray.shutdown()
        two.shutdown()


def wait_for(ready: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not ready():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.3)


def trains_on(root: Path, node_id: str) -> list[Path]:
    """The runs that a worker on this node trains, with a state to go on from."""
    begun = [p for p in root.glob("modular*") if list(p.glob("resume/*.pt"))]
    newest = {p: claims.newest(p) for p in begun}
    return [p for p, claim in newest.items() if claim and not claim.released and node_id in claim.job]


def test_a_lost_node_is_taken_over_and_the_run_ends_bit_identical(cluster, tmp_path):
    file, root = write_study(tmp_path, seeds=range(3), steps=4_000), tmp_path / "runs"
    study = Study.load(file)
    lost: list[Path] = []

    def lose_a_node() -> None:
        node = cluster.list_all_nodes()[-1]
        wait_for(lambda: trains_on(root, node.node_id), "a run on the second node")
        lost.extend(trains_on(root, node.node_id))
        cluster.remove_node(node, allow_graceful=False)

    thread = threading.Thread(target=lose_a_node)
    thread.start()
    outcomes = study.run(executor=study.on_ray(2, root, cluster.address), root=root)
    thread.join()
    assert [o.state for o in outcomes] == ["done"] * 3
    assert len(lost) == 1
    assert "interrupted" not in log_of(lost[0]), "nothing was saved in leave-taking"
    claim = claims.newest(lost[0])
    assert claim is not None
    assert claim.number == 2
    study.run(workers=0, root=tmp_path / "calm")
    for run in (tmp_path / "calm").iterdir():
        same_folder_content(run, root / run.name)
        assert trained_once(root / run.name, 4_000), log_of(root / run.name)


def stacks_in(root: Path) -> dict[str, list[Run]]:
    """Id of a stack -> the runs that were trained in it."""
    stacks: dict[str, list[Run]] = {}
    for path in sorted(root.glob("modular*")):
        run = Run(path)
        stacks.setdefault((run.facts.get("stacked") or {}).get("id", "alone"), []).append(run)
    return stacks


def test_a_node_that_is_lost_in_the_middle_of_a_stack_costs_no_bit(cluster, tmp_path):
    file, root = write_study(tmp_path, seeds=range(6), steps=4_000), tmp_path / "runs"
    study = Study.load(file)
    lost: list[Path] = []

    def lose_a_node() -> None:
        node = cluster.list_all_nodes()[-1]
        wait_for(lambda: len(trains_on(root, node.node_id)) == 2, "a stack of two on the second node")
        lost.extend(trains_on(root, node.node_id))
        cluster.remove_node(node, allow_graceful=False)

    thread = threading.Thread(target=lose_a_node)
    thread.start()
    executor = study.on_ray(2, root, cluster.address, Stacking("stacked", 2))
    outcomes = study.run(executor=executor, root=root)
    thread.join()
    assert [o.state for o in outcomes] == ["done"] * 6
    assert len(lost) == 2
    assert all("interrupted" not in log_of(path) for path in lost), "nothing was saved in leave-taking"
    assert len({Run(path).facts["stacked"]["id"] for path in lost}) == 1
    configs = {entry.config.run_id(): entry.config for entry in study.entries}
    stacks = stacks_in(root)
    assert sorted(len(runs) for runs in stacks.values()) == [2, 2, 2]
    for runs in stacks.values():
        assert {e.state for e in train_stack([configs[run.id] for run in runs], tmp_path / "calm")} == {"done"}
        for run in runs:
            same_folder_content(tmp_path / "calm" / run.id, run.path)
            assert trained_once(run.path, 4_000), log_of(run.path)


def test_two_people_train_in_stacks_on_one_study_each_run_once(cluster, tmp_path):
    file, root = write_study(tmp_path, seeds=range(12), steps=300), tmp_path / "runs"
    command = [sys.executable, "-W", "ignore", "-m", "grokscope.cli"]
    on_ray = [*command, "study", "run", str(file), "--root", str(root), "--on", "ray", "--address", cluster.address]
    ways = (
        [*on_ray, "--workers", "1", "--engine", "stacked", "--stack", "4"],
        [*on_ray, "--workers", "1", "--engine", "auto", "--stack", "4"],
        [*command, "worker", str(file), "--root", str(root), "--engine", "stacked", "--stack", "4"],
    )
    people = [subprocess.Popen(way, stderr=subprocess.PIPE, text=True) for way in ways]
    for one in people:
        said = one.communicate(timeout=WAIT_S)[1]
        assert one.returncode == 0, said
    runs = [Run(p) for p in root.glob("modular*")]
    assert [r.status["state"] for r in runs] == ["done"] * 12
    assert all(trained_once(r.path, 300) for r in runs)
    assert max(map(len, stacks_in(root).values())) >= 2


def test_a_command_that_started_its_own_ray_is_cancelled_and_saves_its_stack(tmp_path, capsys):
    file, root = write_study(tmp_path, seeds=range(2), steps=FOREVER), tmp_path / "runs"
    words = ["study", "run", str(file), "--root", str(root), "--on", "ray", "--workers", "1", "--engine", "stacked"]
    command = [sys.executable, "-W", "ignore", "-m", "grokscope.cli", *words]
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    one = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        wait_for(lambda: one.poll() is not None or len(list(root.glob("modular*/resume/*.pt"))) >= 2, "two states")
        if one.poll() is not None and "no Ray could be started" in (said := one.communicate()[1]):
            pytest.skip(said)
        assert cli.run(["study", "cancel", str(file), "--root", str(root), "--json"]) == 0
        (job,) = json.loads(capsys.readouterr().out)["cancelled"]
        assert (job["engine"], job["job"].partition(":")[0]) == ("ray", str(one.pid))
        said = one.communicate(timeout=WAIT_S)[1]
    finally:
        one.kill()
    assert one.returncode == 130, said
    assert "2 of 2 runs unfinished" in said
    runs = [Run(path) for path in root.glob("modular*")]
    assert [run.status["state"] for run in runs] == ["interrupted"] * 2
    assert {run.facts["stacked"]["members"] for run in runs} == {2}
    (step,) = {run.status["step"] for run in runs}
    assert step > 0


def test_two_people_on_one_study_train_each_run_once(cluster, tmp_path):
    file, root = write_study(tmp_path, seeds=range(8), steps=300), tmp_path / "runs"
    command = [sys.executable, "-W", "ignore", "-m", "grokscope.cli", "study", "run", str(file), "--root", str(root)]
    ways = (["--on", "ray", "--address", cluster.address, "--workers", "1"], ["--workers", "1"])
    people = [subprocess.Popen([*command, *way], stderr=subprocess.PIPE, text=True) for way in ways * 2]
    for one in people[:3]:
        said = one.communicate(timeout=WAIT_S)[1]
        assert one.returncode == 0, said
    people[3].communicate(timeout=WAIT_S)
    runs = [Run(p) for p in root.glob("modular*")]
    assert [r.status["state"] for r in runs] == ["done"] * 8
    assert all(trained_once(r.path, 300) for r in runs)


def test_a_worker_that_fits_nowhere_is_refused_and_a_third_waits(cluster, tmp_path, capsys):
    too_much = Study.load(write_study(tmp_path, seeds=[0], execute="cpus = 64"))
    with pytest.raises(ValueError, match=r"no machine of this Ray has what a worker needs \(CPU 64\)"):
        too_much.run(executor=too_much.on_ray(None, tmp_path, cluster.address), root=tmp_path)
    study = Study.load(write_study(tmp_path, seeds=range(3)))
    with warnings.catch_warnings():
        board = Lines(sys.stderr, 10.0)
        outcomes = study.run(executor=study.on_ray(3, tmp_path / "runs", cluster.address), root=tmp_path / "runs",
                             board=board)  # fmt: skip
    assert [o.state for o in outcomes] == ["done"] * 3
    assert "room for 2 workers now; 1 more wait" in capsys.readouterr().err


def test_two_workers_share_a_gpu_and_a_third_waits(tmp_path, capsys):
    """A Ray that is told of a GPU which nobody has: runs then train on the CPU, and say so."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 4, "num_gpus": 1, "object_store_memory": OBJECTS, "include_dashboard": False}
    try:
        one = Cluster(initialize_head=True, head_node_args=node)
    except Exception as error:  # on a machine too busy to start its processes in Ray's own time
        pytest.skip(f"Ray does not start here: {error}")
    file, root = (
        write_study(tmp_path, seeds=range(3), steps=FOREVER, execute="gpus = 1\nruns_per_gpu = 2"),
        tmp_path / "r",
    )
    file.write_text(file.read_text().replace("[hardware]", '[hardware]\ndevice = "cuda"'))
    words = ["study", "run", str(file), "--root", str(root), "--on", "ray", "--address", one.address, "--workers", "3"]
    command = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "grokscope.cli", *words], stderr=subprocess.PIPE, text=True
    )
    try:
        wait_for(lambda: len({p.parent for p in root.glob("modular*/resume/*.pt")}) == 2, "two runs on one GPU")
        time.sleep(3)
        assert len(list(root.glob("modular*"))) == 2, "a third does not fit"
        assert cli.run(["study", "cancel", str(file), "--root", str(root)]) == 0
        said = command.communicate(timeout=WAIT_S)[1]
    finally:
        command.kill()
        one.shutdown()
    assert command.returncode == 130, said
    assert "this Ray has room for 2 workers now; 1 more wait" in said
    assert all(Run(path).status["state"] == "interrupted" for path in root.glob("modular*"))


def test_fractions_of_a_gpu_and_threads_are_asked_for(tmp_path):
    from grokscope.execute.ray_tasks import _resources

    study = Study.load(write_study(tmp_path, execute="gpus = 1\nruns_per_gpu = 4\ncpus = 2\nmemory = '2GB'"))
    jobs = [s.job() for s in study.status(tmp_path)]
    assert _resources(study.execute, jobs) == {"num_cpus": 2, "num_gpus": 0.25, "memory": 2 * 1024**3}
