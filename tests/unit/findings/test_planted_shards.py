"""Files of planted worlds read back like a model's."""

import numpy as np
from skillprobe.activations.shards import Shard
from skillprobe.findings.planted import plant
from skillprobe.findings.planted_shards import label_rows, verify, write_crossings, write_shards
from skillprobe.probes.crossings import Crossed
from skillprobe.probes.rows import read_rows
from skillprobe.storage.files import read_jsonl

CATEGORIES = {"word_count": "structural", "topic": "semantic"}
GROUPS = [f"g{number:03d}" for number in range(20)]
ABOUT = {"position": "eos", "study": "s"}


def make(world, seed=0):
    return plant(world, CATEGORIES, GROUPS, seed=seed, auroc=0.9, items=2, hidden_size=24, num_layers=3)


def test_shards_read_back_like_a_models(tmp_path):
    planted = make("universal")
    paths = {task: tmp_path / f"{task}.h5" for task in planted}
    write_shards(paths, planted, world="universal", **ABOUT)
    for task, path in paths.items():
        rows = read_rows([path], 3, "eos")
        assert np.allclose(rows.x, planted[task].x[3], rtol=1e-3, atol=1e-3)
        assert np.array_equal(rows.y, planted[task].labels)
        assert np.array_equal(rows.groups, planted[task].groups)
        assert np.array_equal(rows.lengths, planted[task].lengths) and rows.truncated == 0
        # Four samples of each of two items.
        assert len(rows.items) == 160 and np.unique(rows.items, return_counts=True)[1].tolist() == [4] * 40
    with Shard(paths["topic"]) as shard:
        assert shard.layers == [0, 1, 2, 3] and len(set(shard.samples["id"])) == 160
    before = {path: path.read_bytes() for path in paths.values()}
    write_shards(paths, make("universal"), world="universal", **ABOUT)
    assert {path: path.read_bytes() for path in paths.values()} == before


def test_crossings_read_back_in_their_places(tmp_path):
    planted = make("likelihood_read")
    rows = {task: tmp_path / f"{task}.jsonl" for task in planted}
    paths = {task: tmp_path / f"{task}.h5" for task in planted}
    write_crossings(rows, paths, planted, world="likelihood_read", **ABOUT)
    for task, path in paths.items():
        made = list(read_jsonl(rows[task]))
        with Shard(path) as shard:
            assert shard.samples["id"].tolist() == [row["id"] for row in made]
            x, told = shard.read(3, "eos"), shard.log_probability
        crossed = Crossed.of(made)
        assert len(crossed.places) == 40 and not len(crossed.answers)
        assert np.allclose(x[crossed.places], planted[task].crossed.x[3], rtol=1e-3, atol=1e-2)
        assert np.allclose(told[crossed.places], planted[task].crossed.log_probability)
        assert (crossed.labels[crossed.places] == np.eye(2)).all()


def test_labels_are_what_the_text_says():
    for task, rows in make("half_planned").items():
        made = label_rows(task, rows)
        assert [verify(row["response"], {}).satisfied for row in made] == rows.labels.astype(bool).tolist()
        assert len({row["item"] for row in made}) == 40
        for row in made:
            assert row["params"]["relation"] in row["prompt"] and str(row["params"]["n"]) in row["prompt"]
            assert row["id"].startswith(f"{row['item']}/constrained/")
