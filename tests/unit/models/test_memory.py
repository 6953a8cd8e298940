"""The memory that a machine, a container or a job has."""

import pytest
from skillprobe.models.memory import available_memory


def test_the_machine_tells_its_memory():
    available = available_memory()
    assert available is None or available > 2**20


GROUP_V2 = {
    "proc/self/cgroup": "0::/slurm/job_1/step\n",
    "sys/fs/cgroup/slurm/job_1/step/memory.max": "max\n",
    "sys/fs/cgroup/slurm/job_1/step/memory.current": "1000\n",
    "sys/fs/cgroup/slurm/job_1/memory.max": "6000\n",
    "sys/fs/cgroup/slurm/job_1/memory.current": "4000\n",
    "sys/fs/cgroup/slurm/job_1/memory.stat": "anon 500\ninactive_file 1500\nactive_file 7\n",
}
GROUP_V1 = {
    "proc/self/cgroup": "5:cpu,cpuacct:/a\n4:memory:/job\n0::/x\n",
    "sys/fs/cgroup/memory/job/memory.limit_in_bytes": "5000\n",
    "sys/fs/cgroup/memory/job/memory.usage_in_bytes": "3000\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": "3000\n",
}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 10 * 1024),
        (GROUP_V2, 6000 - 4000 + 1500),
        (GROUP_V1, 5000 - 3000),
        # Of the machine there may be less; a group may hold more than it is now permitted.
        (GROUP_V2 | {"proc/meminfo": "MemAvailable: 2 kB\n"}, 2048),
        (GROUP_V1 | {"sys/fs/cgroup/memory/job/memory.usage_in_bytes": "7000\n"}, 0),
    ],
)
def test_a_container_or_cluster_job_has_what_it_is_given(tmp_path, files, expected):
    for name, content in ({"proc/meminfo": "MemTotal: 99 kB\nMemAvailable:   10 kB\n"} | files).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert available_memory(tmp_path) == expected
    assert available_memory(tmp_path / "elsewhere") is None
