"""A real Slurm of one node, for as long as a test needs it: munge, the controller and the node's daemon, all below one
folder and on free ports."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "scancel", "sinfo")
START_S = 60

CONF = """
ClusterName={cluster}
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={port}
SlurmdPort={node_port}
SlurmdParameters=config_overrides
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=100000,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
MaxArraySize=8
KillWait=20
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=8000 Gres=gpu:2 State=UNKNOWN
PartitionName=tests Nodes={host} Default=YES MaxTime=60 DefaultTime=10 State=UP
PartitionName=closed Nodes={host} MaxTime=60 State=DOWN
"""


GPUS = "Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n"
"""Two files that stand for cards: Slurm counts them and hands them out, whatever they are."""


class CannotStart(Exception):
    """Why there is no Slurm here."""


def missing() -> str:
    """Why a Slurm cannot be started on this machine; empty where it may be tried."""
    absent = [name for name in NEEDED if shutil.which(name) is None]
    return f"no {', '.join(absent)} on this machine (Debian: slurm-wlm, munge)" if absent else ""


@contextmanager
def running_slurm(folder: Path) -> Iterator[Path]:
    """Its configuration file, to be given as SLURM_CONF. Everything is ended and waited for afterward.

    Raises:
        CannotStart: with the daemons' words.
    """
    folder.mkdir(parents=True)
    folder.chmod(0o755)  # munge asks who else could put a socket here
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    port, node_port = _free_ports(2)
    conf = folder / "slurm.conf"
    conf.write_text(CONF.format(
        folder=folder, user=getpass.getuser(), host=socket.gethostname().partition(".")[0], port=port,
        node_port=node_port, cluster=f"test{os.getpid()}",
    ))  # fmt: skip
    (folder / "gres.conf").write_text(GPUS)
    environment = {**os.environ, "SLURM_CONF": str(conf)}
    places = {"socket": "munge.sock", "log-file": "munged.log", "pid-file": "munged.pid", "seed-file": "munge.seed"}
    munge = ["munged", "--force", "--foreground", f"--key-file={key}"]
    munge += [f"--{option}={folder}/{name}" for option, name in places.items()]
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        with open(folder / "said.txt", "wb") as said:
            for command in (munge, ["slurmctld", "-D"], ["slurmd", "-D"]):
                daemons.append(subprocess.Popen(command, env=environment, stdout=said, stderr=said))
                time.sleep(0.3)
            _wait_until_idle(environment, daemons, folder)
            yield conf
    finally:
        _end(daemons, environment)


def _wait_until_idle(environment: dict[str, str], daemons: list["subprocess.Popen[bytes]"], folder: Path) -> None:
    deadline = time.monotonic() + START_S
    while True:
        asked = ["sinfo", "--noheader", "--partition=tests", "--format=%T"]
        done = subprocess.run(asked, env=environment, capture_output=True, text=True, timeout=60, check=False)
        if done.stdout.strip() == "idle":
            return
        dead = [d.args for d in daemons if d.poll() is not None]
        if dead or time.monotonic() > deadline:
            said = (folder / "said.txt").read_text(errors="replace")[-500:]
            raise CannotStart(f"Slurm did not start: {dead or done.stdout or done.stderr}: {said}")
        time.sleep(0.2)


def _end(daemons: list["subprocess.Popen[bytes]"], environment: dict[str, str]) -> None:
    """Jobs first, while somebody can still end them; then the daemons, the last one first."""
    with suppress(subprocess.SubprocessError):
        subprocess.run(["scancel", "--user", getpass.getuser(), "--signal=KILL", "--full"], env=environment,
                       capture_output=True, timeout=20, check=False)  # fmt: skip
        subprocess.run(["scancel", "--user", getpass.getuser()], env=environment, capture_output=True, timeout=20,
                       check=False)  # fmt: skip
        time.sleep(1)
    for daemon in reversed(daemons):
        daemon.send_signal(signal.SIGTERM)
        try:
            daemon.wait(timeout=20)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()
