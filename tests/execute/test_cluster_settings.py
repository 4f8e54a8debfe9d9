"""What a study file says of jobs, what Slurm allows, and how both are refused: without a cluster."""

import builtins
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from execute_studies import write_study
from grokscope import cli
from grokscope.execute.queues import alive, process_id, queued
from grokscope.execute.remote import take_gpu, work
from grokscope.execute.settings import Execute, duration_s, memory_bytes, read_execute
from grokscope.execute.slurm_site import Node, Site, clock, read_site, request_within
from grokscope.execute.stacks import Stacking
from grokscope.execute.submissions import new_submission, read_submission, submissions
from grokscope.store import Run
from grokscope.study import Study

SITE = Site("hpc", "gpu", True, 43_200.0, 64_000, None, 1001, 10_000, (Node(32, 128_000, 4), Node(64, 256_000, 0)))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90m", 5400),
        ("11h30m", 41_400),
        ("2d", 172_800),
        ("1-12:00:00", 129_600),
        ("08:30", 30_600),
        ("24:00:00", 86_400),
        ("soon", None),
        ("", None),
        ("1.5h", None),
        ("0:0:0", None),
    ],
)
def test_durations(text, seconds):
    if seconds is None:
        with pytest.raises(ValueError, match="is not a duration"):
            duration_s(text)
    else:
        assert duration_s(text) == seconds


def test_clock_is_read_back():
    assert [clock(s) for s in (90, 41_400, 129_600)] == ["00:01:30", "11:30:00", "1-12:00:00"]
    assert all(duration_s(clock(s)) == s for s in (90, 41_400, 129_600))


def test_memory_is_counted_as_slurm_counts():
    assert [memory_bytes(t) for t in ("4GB", "800 MB", "1.5GB")] == [4 * 1024**3, 800 * 1024**2, 3 * 1024**3 // 2]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"arrays": 3}, r"\$\.execute\.arrays: unknown key.*'array'"),
        ({"array": 0}, "array must be at least 1"),
        ({"time": "long"}, "'long' is not a duration"),
        ({"time": "0m"}, "is not a duration"),
        ({"memory": "4"}, "800MB or 4GB"),
        ({"runs_per_gpu": 2}, "runs_per_gpu = 2 needs gpus"),
        ({"sbatch": {"mem": "4G"}}, "set execute.memory instead"),
        ({"sbatch": {"cpus-per-task": 2}}, "set execute.cpus instead"),
        ({"sbatch": {"signal": "USR1"}}, "resuming and logging"),
        ({"sbatch": {"account": "a\n#SBATCH --x"}}, "expected an option"),
        ({"sbatch": {"exclusive": False}}, "omit the option"),
    ],
)
def test_a_wrong_setting_is_named(table, words):
    with pytest.raises(ValueError, match=words):
        read_execute(table)


def test_settings_change_no_run(tmp_path):
    plain = Study.load(write_study(tmp_path, "plain", seeds=[0, 1]))
    other = Study.load(write_study(tmp_path, "other", seeds=[0, 1], execute="cpus = 4\ntime = '3h'\narray = 7"))
    assert [c.run_id() for c in plain.runs()] == [c.run_id() for c in other.runs()]
    assert (other.execute.cpus, other.execute.array) == (4, 7)


def test_a_request_within_the_limits():
    given = Execute(time="10h", memory="8GB", gpus=2, runs_per_gpu=3, array=4)
    request = request_within(SITE, given, workers=20, cpus=2)
    assert (request.jobs, request.workers, request.gpus) == (4, 6, 2)
    assert request.memory_mb == 6 * 8 * 1024
    assert request.notes == ()
    few = request_within(SITE, given, workers=2, cpus=2)
    assert (few.jobs, few.workers, few.memory_mb) == (1, 2, 16_384)


def test_without_a_time_jobs_get_what_the_partition_allows_and_it_is_said():
    request = request_within(SITE, Execute(), workers=3, cpus=1)
    assert request.seconds == 43_200
    assert request.notes == ("each job for 12:00:00, since execute.time is not set",)
    assert request_within(replace(SITE, max_time_s=None), Execute(), 3, 1).seconds == 86_400


@pytest.mark.parametrize(
    ("given", "cpus", "words"),
    [
        ({"time": "13h"}, 1, "above MaxTime of partition 'gpu', 12:00:00"),
        ({"time": "3m"}, 1, "leaves no time to train"),
        ({"memory": "63GB"}, 1, "above MaxMemPerNode"),
        ({}, 65, "execute.cpus: 65; no machine"),
        ({"gpus": 5}, 1, "execute.gpus: 5; no machine"),
        ({"gpus": 1}, 40, "together"),
    ],
)
def test_no_limit_is_exceeded_silently(given, cpus, words):
    with pytest.raises(ValueError, match=words):
        request_within(SITE, Execute(**given), 1, cpus)


def test_a_partition_that_is_down_is_refused():
    with pytest.raises(ValueError, match="takes no jobs now"):
        request_within(replace(SITE, up=False), Execute(), 1, 1)


def test_more_jobs_than_an_array_holds_are_fewer_and_it_is_said():
    request = request_within(replace(SITE, max_array=8), Execute(time="1h"), workers=12, cpus=1)
    assert request.jobs == 8
    assert "8 jobs in place of 12" in request.notes[0]


PARTITIONS = (
    "PartitionName=cpu Default=YES MaxTime=UNLIMITED MaxCPUsPerNode=UNLIMITED State=UP MaxMemPerNode=UNLIMITED\n"
    "PartitionName=gpu Default=NO MaxTime=1-00:00:00 MaxCPUsPerNode=32 State=UP MaxMemPerNode=64000\n"
)
CONFIG = (
    "Configuration data as of now\nClusterName             = hpc\nMaxArraySize            = 1001\nMaxJobCount = 10000\n"
)


@pytest.fixture
def fake_slurm(tmp_path, monkeypatch):
    """Commands that answer as those of a larger Slurm; what squeue says is in a file."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "config").write_text(CONFIG)
    (folder / "partitions").write_text(PARTITIONS)
    (folder / "queue").write_text("")
    scripts = {
        "scontrol": f'#!/bin/sh\ncase "$2" in config) cat {folder}/config;; *) cat {folder}/partitions;; esac\n',
        "sinfo": "#!/bin/sh\necho '64|256000+|(null)'\necho '32|128000|gpu:a100:4(S:0-1),shard:8'\n",
        "squeue": f"#!/bin/sh\ncat {folder}/queue\n",
        "scancel": f'#!/bin/sh\necho "$@" >> {folder}/cancelled\n',
    }
    for name, text in scripts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def test_the_limits_of_a_partition_are_read(fake_slurm):
    site = read_site("gpu")
    assert (site.cluster, site.max_time_s, site.max_memory_mb, site.max_cpus) == ("hpc", 86_400, 64_000, 32)
    assert site.nodes == (Node(64, 256_000, 0), Node(32, 128_000, 4))
    assert (read_site().partition, read_site().max_time_s) == ("cpu", None)
    with pytest.raises(ValueError, match="no 'debug', but cpu and gpu"):
        read_site("debug")


def sent(root: Path, study: Study, cluster: str = "hpc", ids: tuple[str, ...] = ("7_0", "7_1")):
    return new_submission(study.name, root, "slurm", [s.job() for s in study.status(root)], {}).with_ids(ids, cluster)


def test_sent_workers_train_several_runs_together_where_that_was_asked_for(tmp_path):
    """What Slurm, Ray and the background all carry out."""
    study, root = Study.load(write_study(tmp_path, seeds=range(4))), tmp_path / "runs"
    jobs = [s.job() for s in study.status(root)]
    one = new_submission(study.name, root, "slurm", jobs, {}, Stacking("stacked", 2)).with_ids(["7_0"])
    outcomes, stopped = work(one.folder)
    assert ([o.state for o in outcomes], stopped) == (["done"] * 4, False)
    assert {Run(o.job.run).facts["stacked"]["members"] for o in outcomes} == {2}


def test_what_an_older_version_sent_is_trained_run_by_run(tmp_path):
    study, root = Study.load(write_study(tmp_path, seeds=range(2))), tmp_path / "runs"
    one = sent(root, study)
    head, *runs = (one.folder / "runs.jsonl").read_text().splitlines()
    old = {key: value for key, value in json.loads(head).items() if key != "stacking"}
    (one.folder / "runs.jsonl").write_text("\n".join([json.dumps(old), *runs]) + "\n")
    outcomes, _ = work(one.folder)
    assert [Run(o.job.run).facts.get("stacked") for o in outcomes] == [None, None]


@pytest.mark.parametrize("on", ["slurm", "background", "ray"])
def test_what_cannot_be_stacked_is_refused_before_anything_is_sent(on, fake_slurm, tmp_path, capsys):
    pytest.importorskip("ray" if on == "ray" else "submitit")
    file, root = write_study(tmp_path, seeds=[0, 1]), tmp_path / "runs"
    file.write_text('engine = "compiled"\n' + file.read_text())
    words = ["study", "run", str(file), "--root", str(root), "--on", on, "--engine"]
    assert cli.run([*words, "stacked"]) == 2
    assert "cannot be stacked: $.engine" in capsys.readouterr().err
    assert cli.run([*words, "one", "--stack", "2"]) == 2
    assert "needs engine = stacked or auto" in capsys.readouterr().err
    assert not (root / "jobs").exists()


def test_printed_commands_say_how_workers_train(tmp_path, capsys):
    file = write_study(tmp_path, seeds=[0, 1])
    words = ["study", "plan", str(file), "--engine", "stacked", "--stack", "2", "--workers", "1", "--commands"]
    assert cli.run([*words, "workers"]) == 0
    assert capsys.readouterr().out.endswith("--engine stacked --stack 2\n")
    assert cli.run([*words, "runs"]) == 2
    assert "each line trains one run" in capsys.readouterr().err


def test_the_queue_is_joined_by_id_name_and_cluster(fake_slurm, tmp_path):
    """Numbers are used again: a job of another name or on another cluster is none of ours."""
    study, root = Study.load(write_study(tmp_path, seeds=[0, 1])), tmp_path / "runs"
    ours, away = sent(root, study), sent(root, study, "other", ("8_0",))
    (fake_slurm / "queue").write_text(
        f"7_0|{ours.job_name}|RUNNING|None|node1\n7_1|{ours.job_name}|PENDING|Resources|\n"
        f"8_0|{away.job_name}|RUNNING|None|node2\n7_2|{ours.job_name}|RUNNING|None|node3\n7_1|theirs|RUNNING|None|node4\n"
    )
    jobs, problems = queued(submissions(root, study.name)[0])
    assert [(j.id, j.state, j.note) for j in jobs] == [("7_0", "running", "node1"), ("7_1", "pending", "Resources")]
    assert problems == ["state unknown: Slurm 8 on cluster 'other': this machine's Slurm is 'hpc'"]


def test_cancel_names_what_it_ends_and_marks_it(fake_slurm, tmp_path, capsys):
    file, root = write_study(tmp_path, seeds=[0, 1]), tmp_path / "runs"
    one = sent(root, Study.load(file))
    (fake_slurm / "queue").write_text(f"7_1|{one.job_name}|PENDING|Priority|\n9|other|RUNNING|None|node1\n")
    assert cli.run(["study", "cancel", str(file), "--root", str(root)]) == 0
    out = capsys.readouterr().out
    assert "cancelled 1 job of 'study'" in out
    assert "Priority" in out
    assert (fake_slurm / "cancelled").read_text().split() == ["7_1"]
    assert read_submission(one.folder).cancelled is not None


def test_status_without_squeue_says_so(tmp_path, capsys, monkeypatch):
    file, root = write_study(tmp_path, seeds=[0]), tmp_path / "runs"
    sent(root, Study.load(file))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cli.run(["study", "status", str(file), "--root", str(root)]) == 0
    out = capsys.readouterr().out
    assert "1 new" in out
    assert "state unknown: Slurm 7 on cluster 'hpc': scontrol is not on this machine" in out
    assert cli.run(["study", "cancel", str(file), "--root", str(root)]) == 1, "it cannot know"


def test_a_damaged_record_costs_only_its_own_jobs(fake_slurm, tmp_path):
    study, root = Study.load(write_study(tmp_path)), tmp_path / "runs"
    bad, good = sent(root, study), sent(root, study)
    for damage in ('{"schema": 1}', "{", json.dumps({"schema": 99}), bad_ids(bad.folder)):
        (bad.folder / "submission.json").write_text(damage)
        read, problems = submissions(root, study.name)
        assert [s.folder for s in read] == [good.folder]
        assert len(problems) == 1
        assert str(bad.folder) in problems[0]


def bad_ids(folder: Path) -> str:
    data = json.loads((folder / "submission.json").read_text())
    return json.dumps({**data, "ids": ["--user=root"]})


def test_a_process_is_known_by_its_start_too():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        name = process_id(process.pid)
        assert alive(name)
        assert not alive(f"{process.pid}:1")
        process.kill()
    assert not alive(name)


def test_runs_share_a_gpu_by_their_place(monkeypatch, capsys):
    for place, expected in ((0, "GPU-a"), (1, "GPU-b"), (2, "GPU-a,GPU-b")):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
        take_gpu(place)
        assert __import__("os").environ["CUDA_VISIBLE_DEVICES"] == expected
        told = "CUDA_VISIBLE_DEVICES names GPU-a,GPU-b, so" in capsys.readouterr().out
        assert told == (place == 2), "nobody is left on another's card without a word"


@pytest.mark.parametrize(("setting", "device"), [("gpus = 1", "cpu"), ("gpus = 1", "cuda:1"), ("", "cuda")])
def test_gpus_that_runs_would_not_use_are_refused(fake_slurm, tmp_path, capsys, setting, device):
    file = write_study(tmp_path, seeds=[0], execute=setting)
    file.write_text(file.read_text().replace("[hardware]", f'[hardware]\ndevice = "{device}"'))
    assert cli.run(["study", "plan", str(file), "--on", "slurm", "--no-probe"]) == 2
    assert "$.execute.gpus" in capsys.readouterr().err


def plan_of(file: Path, capsys, *words: str) -> tuple[str, dict]:
    """What ``study plan`` prints, without line breaks, and as JSON."""
    command = ["study", "plan", str(file), "--root", str(file.parent / "runs"), *words]
    assert cli.run(command) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert cli.run([*command, "--json"]) == 0
    return printed, json.loads(capsys.readouterr().out)


def test_plan_shows_the_settings_and_what_slurm_would_be_asked(fake_slurm, tmp_path, capsys):
    file = write_study(tmp_path, seeds=range(6), execute="time = '2h'\nmemory = '4GB'\narray = 3\npartition = 'gpu'")
    settings = "jobs: at most 3, each for 2h, in partition 'gpu'; a worker has 1 CPU, 4GB and no GPU"
    printed, data = plan_of(file, capsys, "--no-probe")
    assert settings in printed
    assert data["jobs"]["engine"] == "here"
    printed, data = plan_of(file, capsys, "--no-probe", "--on", "slurm")
    assert settings in printed
    asked = "on Slurm: 3 jobs in partition 'gpu', each for 02:00:00: 1 worker with 1 CPU and 4.29 GB"
    assert asked in printed
    assert data["jobs"]["request"]["words"] == asked
    assert data["jobs"]["settings"]["memory"] == "4GB"
    assert (data["workers"], data["jobs"]["workers"]) == (3, 3), "those of the jobs, not of this machine"


SHARED = "gpus = 2\nruns_per_gpu = 3\nmemory = '4GB'\ntime = '90m'\narray = 1\npartition = 'gpu'"


@pytest.mark.parametrize("on", ["here", "slurm", "ray"])
def test_plan_shows_memory_gpus_runs_per_gpu_and_the_time_limit(on, fake_slurm, tmp_path, capsys):
    file = write_study(tmp_path, seeds=range(20), execute=SHARED)
    file.write_text(file.read_text().replace("[hardware]", '[hardware]\ndevice = "cuda"'))
    printed, data = plan_of(file, capsys, "--no-probe", "--on", on)
    assert (
        "jobs: at most 1, each for 90m, in partition 'gpu', 6 workers in each; a worker has 1 CPU, 4GB and 1 GPU "
        "shared by 3 runs" in printed
    )
    given = {key: data["jobs"]["settings"][key] for key in ("gpus", "runs_per_gpu", "memory", "time", "array")}
    assert given == {"gpus": 2, "runs_per_gpu": 3, "memory": "4GB", "time": "90m", "array": 1}
    if on != "here":
        assert data["workers"] == 6
    if on == "slurm":
        assert {k: data["jobs"]["request"][k] for k in ("workers", "gpus", "memory_mb", "seconds")} == {
            "workers": 6, "gpus": 2, "memory_mb": 6 * 4096, "seconds": 5400,
        }  # fmt: skip
        assert "6 workers with 1 CPU each, 25.8 GB and 2 GPUs" in printed


def test_what_is_not_set_is_said_to_be_so(tmp_path, capsys):
    file = write_study(tmp_path, seeds=[0], execute="array = 7")
    printed, _ = plan_of(file, capsys, "--no-probe")
    assert "jobs: at most 7, no time limit set; a worker has 1 CPU, the default memory and no GPU" in printed


def test_plan_shows_the_probe_of_stacks_beside_the_jobs(fake_slurm, tmp_path, capsys, monkeypatch):
    asked = []
    monkeypatch.setattr("grokscope.train.stacked.probe.speedup", lambda configs: asked.append(len(configs)) or 2.5)
    file = write_study(tmp_path, seeds=range(12), execute="array = 3\ntime = '2h'\npartition = 'gpu'")
    printed, data = plan_of(file, capsys, "--engine", "auto", "--on", "slurm")
    assert data["stacks"] == [{"runs": 4, "regimes": ["custom"], "speedup": 2.5, "reason": "", "count": 3}]
    assert "3 stacks of 4 runs of custom, 2.5 times as many steps per second as one by one" in printed
    assert (
        "each worker of a job stacks its own share of the remaining runs; with auto, it probes on its own machine"
        in printed
    )
    assert "3 jobs in partition 'gpu'" in printed
    assert asked == [4, 4], "once for each of the two commands"
    monkeypatch.setattr("grokscope.train.stacked.probe.speedup", lambda configs: 0.9)
    printed, data = plan_of(file, capsys, "--engine", "auto", "--on", "slurm")
    assert "not stacked: 12 runs of custom: a run-step in a stack is only 0.90 times as fast as alone" in printed


def test_what_the_cluster_does_not_allow_is_refused_before_the_probe(fake_slurm, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("grokscope.study.plan.probe_all", lambda *_: pytest.fail("probed"))
    file = write_study(tmp_path, seeds=[0], execute="time = '9d'\npartition = 'gpu'")
    assert cli.run(["study", "plan", str(file), "--on", "slurm", "--root", str(tmp_path / "runs")]) == 2
    assert "above MaxTime of partition 'gpu'" in capsys.readouterr().err


def test_engines_that_are_not_there_name_the_remedy(tmp_path, capsys, monkeypatch):
    file = write_study(tmp_path, seeds=[0])
    root = ["--root", str(tmp_path / "runs")]
    assert cli.run(["study", "run", str(file), "--on", "slrum", *root]) == 2
    err = capsys.readouterr().err
    assert "did you mean 'slurm'" in err
    assert all(name in err for name in ("here", "background", "slurm", "ray"))
    assert cli.run(["study", "run", str(file), "--address", "auto", *root]) == 2
    assert "--address needs --on ray" in capsys.readouterr().err
    usual = builtins.__import__

    def without(name: str, *rest: object):
        if name in ("submitit", "ray"):
            raise ImportError(name)
        return usual(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    for engine, extra in (("slurm", "slurm"), ("background", "slurm"), ("ray", "ray")):
        assert cli.run(["study", "run", str(file), "--on", engine, *root]) == 2
        assert f"pip install 'grokscope[{extra}]'" in capsys.readouterr().err
    assert not (tmp_path / "runs" / "jobs").exists(), "nothing is left of what was not sent"


def test_light_commands_import_no_engine(tmp_path):
    file = write_study(tmp_path, seeds=[0])
    code = (
        "import sys; from grokscope import cli\n"
        f"assert cli.run(['study', 'status', {str(file)!r}]) == 0\n"
        f"assert cli.run(['study', 'cancel', {str(file)!r}]) == 0\n"
        "assert not {'submitit', 'ray', 'torch'} & set(sys.modules), sorted(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
