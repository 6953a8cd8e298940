"""Pools of responses: plain ones are the study's sampling, steered ones beside them."""

import numpy as np
import pytest
from made.guarded import PROMPTS, SAMPLED, items
from made.monitors import made_study
from skillprobe import tasks
from skillprobe.models.chat import chat_ids
from skillprobe.models.generation import generate, requests
from skillprobe.monitor import Monitor, Steer
from skillprobe.monitor.guard import written
from skillprobe.monitor.pool import sample_pool

TASK = tasks.get("word_count")


@pytest.fixture
def monitor(loaded, tmp_path):
    study = made_study(tmp_path, loaded, tasks=("word_count",), layers=(2,))
    return Monitor.from_study(study, "tiny", ["word_count"])


def test_a_pool_is_the_studys_own_sampling_read_by_its_monitor(loaded, monitor):
    pool, rows = sample_pool(loaded, monitor, TASK, items(), SAMPLED, seed=3)
    plain, seeds = requests(items(), SAMPLED | {"twin_samples": 0}, 3)
    made = generate(loaded, [row["prompt"] for row in plain], seeds, SAMPLED)
    assert [row["token_ids"] for row in rows] == [each.token_ids for each in made]
    assert {row["condition"] for row in rows} == {"plain"}
    assert pool.tokens.ravel().tolist() == [len(each.token_ids) for each in made]
    for place, each in enumerate(made):
        ids = chat_ids(loaded.tokenizer, plain[place]["prompt"])
        table = monitor.read(loaded.model, [[*ids, *each.token_ids]], [len(ids)])[0]
        found = pool.probabilities.reshape(12, -1)[place]
        np.testing.assert_allclose(found[: len(table)], table[:, 0], atol=1e-4)
        assert np.isnan(found[len(table) :]).all()
    assert pool.at_end.shape == (3, 4) and np.isfinite(pool.at_end).all()
    # A response that is lost doesn't satisfy, and was lost before its end or there.
    assert not (pool.satisfied & (pool.lost > 0)).any() and (pool.lost <= pool.tokens).all()
    assert (pool.lost > 0).any()


def test_steered_responses_have_the_random_streams_of_the_first(loaded, monitor):
    spreads = [1.0] * len(monitor.watched[0].stored.first)
    steers = [Steer(0.0, 2.0, spreads), Steer(1.0, 300.0, spreads)]
    pool, rows = sample_pool(loaded, monitor, TASK, items(), SAMPLED, 3, steers=steers, steered=2)
    names = ("plain", "steer:2", "steer:300")
    by_condition = {name: [row for row in rows if row["condition"] == name] for name in names}
    first = [row for row in by_condition["plain"] if row["id"].endswith(("/0", "/1"))]
    assert [row["id"] for row in by_condition["steer:2"]] == [row["id"] for row in first]
    # Never below 0: as if not steered.
    assert [row["token_ids"] for row in by_condition["steer:2"]] == [row["token_ids"] for row in first]
    assert [row["token_ids"] for row in by_condition["steer:300"]] != [row["token_ids"] for row in first]
    for each, name in zip(pool.steered, ("steer:2", "steer:300"), strict=True):
        assert each.satisfied.ravel().tolist() == [row["satisfied"] for row in by_condition[name]]
        assert each.tokens.ravel().tolist() == [len(row["token_ids"]) for row in by_condition[name]]
        assert each.truncated.ravel().tolist() == [row["truncated"] for row in by_condition[name]]
    encoded = [chat_ids(loaded.tokenizer, PROMPTS[1])]
    _, seeds = requests(items(), SAMPLED | {"twin_samples": 0}, 3)
    (alone,) = written(loaded, monitor, encoded, [seeds[4]], SAMPLED, steer=steers[1])
    assert alone.token_ids == by_condition["steer:300"][2]["token_ids"]
