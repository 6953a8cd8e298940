"""Planted worlds hold what they say, and nothing else."""

import numpy as np
import pytest
from skillprobe.activations.shards import Shard
from skillprobe.analyses.blocks import PAPER_GROUPS
from skillprobe.errors import UserError
from skillprobe.findings.planted import GROUP_COSINE, PAIR_COSINE, WORLDS, plant, write_shards
from skillprobe.findings.rules import CLAIMS
from skillprobe.probes.rows import read_rows
from skillprobe.statistics.metrics import concordance
from skillprobe.storage.files import read_json
from skillprobe.study.schema import SCHEMA
from skillprobe.tasks import NAMES, get

CATEGORIES = {task: get(task).category for task in NAMES}
BASES = [f"b{number:03d}" for number in range(400)]


def make(world, auroc=0.9, seed=0, groups=BASES, **options):
    return plant(world, CATEGORIES, groups, seed=seed, auroc=auroc, hidden_size=24, **options)


def whitened(rows, layer=-1):
    """Activations in which the noise within classes is white, and the classes' difference in them."""
    x = np.asarray(rows.x[layer], float)
    within = x - np.where(rows.labels[:, None], x[rows.labels == 1].mean(0), x[rows.labels == 0].mean(0))
    values, axes = np.linalg.eigh(np.cov(within.T))
    x = x @ (axes / np.sqrt(values))
    return x, x[rows.labels == 1].mean(0) - x[rows.labels == 0].mean(0)


def best_auroc(rows, layer=-1):
    """Of the linear discriminant, fitted to half of the groups and tried on the others."""
    x, _ = whitened(rows, layer)
    first = rows.groups < BASES[len(BASES) // 2]
    gap = x[first & (rows.labels == 1)].mean(0) - x[first & (rows.labels == 0)].mean(0)
    scores, labels = x[~first] @ gap, rows.labels[~first]
    positive, negative = scores[labels == 1], scores[labels == 0]
    return concordance(positive, negative) / len(positive) / len(negative)


def test_the_config_knows_all_worlds_and_these_say_what_is_true_of_every_claim():
    known = read_json(SCHEMA)["properties"]["calibration"]["properties"]["worlds"]["items"]["enum"]
    assert known == list(WORLDS)
    for world in WORLDS.values():
        # Nothing is known of time where EOS is all there is, nor of specificity without twins.
        unknown = set() if world.course else {"monitoring"}
        unknown |= set() if world.twins else {"specificity"}
        assert set(world.truth) == {*CLAIMS, "signal_beyond_confounds"} - unknown


@pytest.mark.parametrize("world", ["universal", "compositional", "clustered", "length_confounded"])
@pytest.mark.parametrize("auroc", [0.75, 0.9])
def test_the_effect_is_the_stated_one(world, auroc):
    reached = [best_auroc(rows) for rows in make(world, auroc).values()]
    assert np.mean(reached) == pytest.approx(auroc, abs=0.02)


def test_noise_tells_nothing():
    reached = [best_auroc(rows) for rows in make("noise").values()]
    assert np.mean(reached) == pytest.approx(0.5, abs=0.03)


def test_the_first_of_a_pair_is_stronger_and_shares_its_direction():
    planted = make("asymmetric", 0.75)
    reached = {task: best_auroc(rows) for task, rows in planted.items()}
    first, second = list(CATEGORIES)[0:8:2], list(CATEGORIES)[1:9:2]
    assert min(reached[task] for task in first) > 0.9
    assert np.mean([reached[task] for task in second]) == pytest.approx(0.75, abs=0.03)
    x = np.concatenate([rows.x[-1] - rows.x[-1].mean(0) for rows in planted.values()])
    values, axes = np.linalg.eigh(np.cov(x.T))
    gaps = [(r.x[-1][r.labels == 1].mean(0) - r.x[-1][r.labels == 0].mean(0)) for r in planted.values()]
    gaps = [gap @ axes / np.sqrt(values) for gap in gaps]
    cosine = [
        a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(gaps[0:8:2], gaps[1:9:2], strict=True)
    ]
    assert np.mean(cosine) == pytest.approx(PAIR_COSINE, abs=0.15)


def test_directions_are_shared_as_the_world_says():
    group = {task: number for number, names in enumerate(PAPER_GROUPS) for task in names}
    for world, within, between in (
        ("universal", 1, 1),
        ("compositional", 0, 0),
        ("clustered", GROUP_COSINE, 0),
    ):
        # One metric for all, or their whitened axes would not be the same ones.
        planted = make(world, 0.97)
        x = np.concatenate([rows.x[-1] - rows.x[-1].mean(0) for rows in planted.values()])
        values, axes = np.linalg.eigh(np.cov(x.T))
        gaps = {}
        for task, rows in planted.items():
            gap = rows.x[-1][rows.labels == 1].mean(0) - rows.x[-1][rows.labels == 0].mean(0)
            gap = gap @ axes / np.sqrt(values)
            gaps[task] = gap / np.linalg.norm(gap)
        for a in CATEGORIES:
            for b in CATEGORIES:
                if a < b:
                    wanted = within if group[a] == group[b] else between
                    assert gaps[a] @ gaps[b] == pytest.approx(wanted, abs=0.25), (world, a, b)


@pytest.mark.parametrize("world, order", [("compositional", 1), ("clustered", -1)])
def test_signals_begin_where_the_world_says(world, order):
    rank = {"structural": 1, "lexical": 2, "semantic": 3, "stylistic": 3}
    for task, rows in make(world, 0.97, num_layers=8).items():
        first = 2 * (rank[CATEGORIES[task]] if order == 1 else 4 - rank[CATEGORIES[task]])
        assert best_auroc(rows, first - 1) < 0.6 < 0.9 < best_auroc(rows, first)


@pytest.mark.parametrize("world", WORLDS)
def test_length_goes_with_the_label_in_one_world_only(world):
    for rows in make(world).values():
        longer, shorter = rows.lengths[rows.labels == 1], rows.lengths[rows.labels == 0]
        found = concordance(longer, shorter) / len(longer) / len(shorter)
        assert found == pytest.approx(0.9 if WORLDS[world].by_length else 0.5, abs=0.05)


def test_answers_to_one_request_are_alike():
    """Or folds that split requests would not leak, and the worlds be too easy."""
    rows = make("noise")["topic"]
    x = whitened(rows)[0]
    same = rows.groups[:, None] == rows.groups[None, :]
    alike = x @ x.T / x.shape[1]
    np.fill_diagonal(same, False)
    different = rows.groups[:, None] != rows.groups[None, :]
    assert alike[same].mean() > alike[different].mean() + 0.3
    assert (rows.labels[:, None] == rows.labels)[same].mean() > 0.55


def test_shards_read_back_like_a_models(tmp_path):
    groups = BASES[:20]
    planted = make("universal", groups=groups)
    paths = {task: tmp_path / f"{task}.h5" for task in planted}
    write_shards(paths, planted, position="eos", study="s", world="universal")
    for task, path in paths.items():
        rows = read_rows([path], 3, "eos")
        assert np.allclose(rows.x, planted[task].x[3], rtol=1e-3, atol=1e-3)
        assert np.array_equal(rows.y, planted[task].labels) and np.array_equal(
            rows.groups, planted[task].groups
        )
        assert np.array_equal(rows.lengths, planted[task].lengths) and rows.truncated == 0
    with Shard(paths["topic"]) as shard:
        assert shard.layers == [0, 1, 2, 3, 4] and len(set(shard.samples["id"])) == 80
    before = {path: path.read_bytes() for path in paths.values()}
    write_shards(paths, make("universal", groups=groups), position="eos", study="s", world="universal")
    assert {path: path.read_bytes() for path in paths.values()} == before
    assert not np.array_equal(make("universal", groups=groups, seed=1)["topic"].x, planted["topic"].x)


def test_too_few_dimensions_are_refused():
    with pytest.raises(UserError, match="hidden_size is 18; planting 9 tasks takes at least 19"):
        plant("universal", CATEGORIES, BASES[:5], seed=0, auroc=0.8, hidden_size=18)
