"""A Slurm of one machine, with folders, ports and a key of its own: another one is left alone."""

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from signal import Signals

from workdir import ROOT

PROFILE = ROOT / "workflow/profiles/slurm"
# What a Slurm without an accounting database needs; and a test doesn't wait 40 s for the first news of a job.
OVERRIDES = (
    *("--slurm-no-account", "--slurm-status-command", "squeue"),
    *("--slurm-init-seconds-before-status-checks", "2"),
)
# Not everywhere in root's path.
PATH = f"{os.environ['PATH']}:/usr/sbin"
GPUS = 2
SLURM_CONF = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
SlurmdUser=root
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
{limits}
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,batch_sched_delay=0
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
# Ended jobs stay in the controller's records for as long as the tests take.
MinJobAge=3600
KillWait=1
ReturnToService=2
GresTypes=gpu
# The node is as large as stated here, whatever the machine has.
SlurmdParameters=config_overrides
NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=16000 Gres=gpu:{gpus}
PartitionName=cpu Nodes={node} Default=YES
PartitionName=gpu Nodes={node}
"""
# As on most clusters: the kernel ends a job that outgrows its memory, and Slurm knows all processes of a job.
BY_KERNEL = """\
ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup"""
# Where that can't be, Slurm looks each second at what a job takes.
BY_SLURM = """\
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherParams=OverMemoryKill"""
# Memory is limited in one of these hierarchies, and a job's processes are found by the other.
CGROUPS = [Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup/freezer")]
CGROUP_CONF = """\
CgroupPlugin=cgroup/v1
ConstrainRAMSpace=yes
ConstrainSwapSpace=yes
"""
GRES_CONF = """\
AutoDetect=off
NodeName={node} Name=gpu Count={gpus} File={folder}/nvidia[0-{last}] Flags=nvidia_gpu_env
"""


def why_not() -> str | None:
    """Installs Slurm where it is missing; why that can't be done."""
    if all(shutil.which(program, path=PATH) for program in ("munged", "slurmctld", "slurmd", "srun")):
        return None if os.geteuid() == 0 else "only root can start a Slurm"
    if os.geteuid() or not shutil.which("apt-get"):
        return "no Slurm here, and only root can install one, with apt-get"
    for command in ("update", "install --no-install-recommends --yes slurm-wlm munge"):
        done = subprocess.run(
            ["apt-get", "-qq", *command.split()],
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            return f"Slurm can't be installed: {done.stderr.strip()[-300:]}"
    return None


class Slurm:
    """Started by `with`, and stopped at its end.

    why_no_cgroups: None where jobs have control groups: the kernel then ends those that outgrow their memory.
    """

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-"))
        self.daemons, self.cgroups = [], []
        try:
            self._write_configuration()
            munge = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munged.pid"}
            munge |= {"log-file": "munged.log", "seed-file": "munged.seed"}
            options = [f"--{name}={self.folder / file}" for name, file in munge.items()]
            self._start("munged", "--foreground", "--force", *options)
            wait_until((self.folder / "munge.socket").exists, "munged")
            self._start("slurmctld", "-D")
            self._start("slurmd", "-D", "-N", self.node)
            wait_until(lambda: "idle" in self._output("sinfo", "--noheader"), "slurmd")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error):
        if len(self.daemons) == 3:
            self._output("scancel", "--user", "root")
            time.sleep(2)
        for daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        wait_until(self._remove_cgroups, "the control groups to be empty")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write_configuration(self):
        self.folder.chmod(0o755)
        for name in ("state", "spool", "bin"):
            (self.folder / name).mkdir()
        for gpu in range(GPUS):
            # Slurm deals out character devices only.
            (self.folder / f"nvidia{gpu}").symlink_to("/dev/null")
        (self.folder / "munge.key").write_bytes(secrets.token_bytes(128))
        (self.folder / "munge.key").chmod(0o400)
        ports = free_ports(2)
        # Its control groups are named after the node, and another Slurm of this machine has some, too.
        self.node = f"box{ports[1]}"
        self.why_no_cgroups = self._make_cgroups()
        if not self.why_no_cgroups:
            (self.folder / "cgroup.conf").write_text(CGROUP_CONF)
        values = {"host": socket.gethostname().split(".")[0], "node": self.node, "folder": self.folder}
        values |= {"gpus": GPUS, "last": GPUS - 1, "ports": ports}
        values["limits"] = BY_SLURM if self.why_no_cgroups else BY_KERNEL
        (self.folder / "slurm.conf").write_text(SLURM_CONF.format(**values))
        (self.folder / "gres.conf").write_text(GRES_CONF.format(**values))
        # The executor's job steps forget SLURM_CONF.
        srun = self.folder / "bin/srun"
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {shutil.which("srun")} "$@"\n')
        srun.chmod(0o755)
        self.environment = os.environ | {
            "SLURM_CONF": f"{self.folder}/slurm.conf",
            "PATH": f"{self.folder}/bin:{PATH}",
        }

    def _make_cgroups(self) -> str | None:
        """Those that Slurm puts its jobs' into; why there can be none."""
        self.cgroups = [hierarchy / f"slurm_{self.node}" for hierarchy in CGROUPS]
        try:
            for cgroup in self.cgroups:
                cgroup.mkdir()
                (cgroup / "cgroup.procs").read_text()
        except OSError as error:
            self._remove_cgroups()
            return f"no control groups (of version 1) can be made: {error}"
        return None

    def _remove_cgroups(self) -> bool:
        """Whether they are gone."""
        for cgroup in self.cgroups:
            for folder, _, _ in os.walk(cgroup, topdown=False):
                # Slurm tidies up as well, and what ends is still there for a while.
                with suppress(OSError):
                    os.rmdir(folder)
        return not any(cgroup.exists() for cgroup in self.cgroups)

    def _start(self, *command):
        with open(self.folder / f"{command[0]}.out", "w") as output:
            self.daemons.append(subprocess.Popen(command, env=self.environment, stdout=output, stderr=output))

    def _output(self, *command) -> str:
        return subprocess.run(command, env=self.environment, capture_output=True, text=True).stdout

    def snakemake(self, folder: Path, *arguments: str, **environment: str) -> subprocess.Popen:
        """Begin to run Snakemake through the profile in a folder; its output goes to `run.log` there."""
        with open(folder / "run.log", "a") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "snakemake", "--profile", str(PROFILE), *OVERRIDES, *arguments],
                cwd=folder,
                env=self.environment | environment,
                stdout=output,
                stderr=output,
            )

    def jobs(self, folder: Path) -> list[dict[str, str]]:
        """Slurm's records of all jobs that were submitted in a folder, in order."""
        records = []
        for line in self._output("scontrol", "--details", "--oneliner", "show", "job").splitlines():
            record = dict(re.findall(r"(\S+?)=(\S*)", line))
            if record.get("WorkDir") == str(folder):
                records.append(record)
        return sorted(records, key=lambda record: int(record["JobId"]))

    def running(self, folder: Path, rule: str) -> dict[str, str] | None:
        """A job of a rule that is running."""
        for record in self.jobs(folder):
            if f"_{rule}_" in f"{record['Comment']}_" and record["JobState"] == "RUNNING":
                return record
        return None

    def signal(self, record: dict[str, str], number: Signals):
        """To what a job runs; not to the daemon that runs it, which has to answer."""
        for process in self.processes(record):
            with suppress(OSError):
                if Path(f"/proc/{process}/comm").read_text() != "slurmstepd\n":
                    os.kill(int(process), number)

    def cancel(self, record: dict[str, str]):
        self._output("scancel", record["JobId"])

    def processes(self, record: dict[str, str]) -> list[str]:
        """The ids of a job's processes, by what they have in their environment."""
        own = {f"SLURM_JOB_ID={record['JobId']}", f"SLURM_CONF={self.folder}/slurm.conf"}
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            # It may end in between.
            with suppress(OSError):
                if own <= set((process / "environ").read_text(errors="replace").split("\0")):
                    found.append(process.name)
        return found


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def wait_until(there, what: str, seconds: float = 60):
    """The first value of `there()` that is true."""
    end = time.monotonic() + seconds
    while not (found := there()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.3)
    return found


def memory(record: dict[str, str]) -> int:
    """What a job asked for, in MB."""
    size, unit = re.search(r"mem=([\d.]+)([MG])", record["TRES"]).groups()
    return round(float(size) * {"M": 1, "G": 1024}[unit])


def minutes(record: dict[str, str]) -> int:
    """A job's time limit."""
    days, hours, left = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):00", record["TimeLimit"]).groups()
    return 1440 * int(days or 0) + 60 * int(hours) + int(left)


def gpus(record: dict[str, str]) -> int:
    found = re.search(r"gpu:(\d+)", record.get("TresPerJob", ""))
    return int(found[1]) if found else 0
