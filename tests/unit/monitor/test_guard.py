"""Policies while a model writes: the same as afterwards from a pool, and what is refused."""

import numpy as np
import pytest
import torch
from made.activations import ROWS, make_shard
from made.guarded import PARAMS, PROMPTS, SAMPLED, items
from made.monitors import made_study
from skillprobe import tasks
from skillprobe.analyses import pools
from skillprobe.errors import UserError
from skillprobe.models.chat import chat_ids
from skillprobe.models.generation import requests
from skillprobe.monitor import BestOf, Monitor, Steer, StopEarly, StopOnPrefix, VerifyAgain, guarded
from skillprobe.monitor.constraints import Constraint
from skillprobe.monitor.guard import (
    SETTINGS,
    Verifier,
    as_loaded,
    lost_after,
    spreads_of,
    spreads_of_shards,
    written,
)
from skillprobe.monitor.pool import sample_pool
from skillprobe.probes.course import EOS, read_course


@pytest.fixture
def study(loaded, tmp_path):
    return made_study(tmp_path, loaded, tasks=("word_count",), layers=(2,))


@pytest.fixture
def monitor(study):
    return Monitor.from_study(study, "tiny", ["word_count"])


@pytest.fixture
def pooled(loaded, monitor):
    return sample_pool(loaded, monitor, tasks.get("word_count"), items(), SAMPLED, seed=3)


def asked(policy, loaded, monitor, **more):
    _, seeds = requests(items(), SAMPLED | {"twin_samples": 0}, 3)
    more = {"settings": {key: SAMPLED[key] for key in SETTINGS}, **more}
    return guarded(
        loaded.model,
        loaded.tokenizer,
        monitor,
        PROMPTS,
        policy,
        constraints=[[Constraint("word_count", params)] for params in PARAMS],
        seeds=[seeds[start : start + 4] for start in (0, 4, 8)],
        **more,
    )


def thresholds(pool):
    """Below which some tokens, but not all, of the responses are."""
    values = pool.probabilities[:, :, 1:]
    return np.nanquantile(values, [0.05, 0.2, 0.5]).tolist()


def test_what_is_computed_from_a_pool_is_what_happens_while_the_model_writes(loaded, monitor, pooled):
    pool, rows = pooled
    texts = np.array([row["response"] for row in rows]).reshape(3, 4)
    in_order = np.arange(4)[None]
    policies = [
        (VerifyAgain(3), pools.verify_again(pool)),
        (StopOnPrefix(3), pools.stop_on_prefix(pool)),
        (StopOnPrefix(4), pools.stop_on_prefix(pool)),
        (BestOf(3), pools.best_of(pool)),
    ]
    for threshold in thresholds(pool):
        # In the middle between two values, which rounding doesn't cross.
        values = np.sort(pool.probabilities[np.isfinite(pool.probabilities)])
        place = np.searchsorted(values, threshold)
        between = float(values[place - 1 : place + 1].mean())
        policies += [
            (StopEarly(between, tries, verified), pools.stop_early(pool, between, verified))
            for tries in (1, 3)
            for verified in (False, True)
        ]
    stopped = 0
    for policy, fates in policies:
        found = asked(policy, loaded, monitor)
        number, satisfied, spent, starts = pools.run(fates, pool.satisfied, policy.tries, in_order)
        for row, answer in enumerate(found):
            about = policy, row
            assert answer.spent == spent[row, 0], about
            assert answer.starts == starts[row, 0], about
            assert answer.response == texts[row, number[row, 0]], about
            assert answer.satisfied == satisfied[row, 0], about
            kept = pool.probabilities[row, number[row, 0]]
            kept = kept[np.isfinite(kept)]
            np.testing.assert_allclose(answer.probabilities[:, 0], kept, atol=1e-3)
            stopped += answer.spent < answer.starts * len(answer.token_ids)
    assert stopped > 5


def test_a_batch_stops_each_row_for_itself(loaded, monitor):
    encoded = [chat_ids(loaded.tokenizer, prompt) for prompt in PROMPTS]
    lengths = (2, 5, 9)
    made = written(
        loaded, monitor, encoded, [1, 2, 3], SAMPLED, lambda row, step, p, ids: step >= lengths[row]
    )
    plain = written(loaded, monitor, encoded, [1, 2, 3], SAMPLED)
    for start, whole, length in zip(made, plain, lengths, strict=True):
        kept = whole.token_ids[:length]
        assert start.token_ids == kept and start.probabilities.shape == (len(kept) + 1, 1)
        np.testing.assert_allclose(start.probabilities, whole.probabilities[: len(kept) + 1], atol=1e-5)
        assert not whole.stopped and whole.token_ids
    for ids, seed, start in zip(encoded, (1, 2, 3), plain, strict=True):
        assert written(loaded, monitor, [ids], [seed], SAMPLED)[0].token_ids == start.token_ids


def test_steering_moves_only_the_tokens_where_the_probability_is_low(loaded, monitor):
    spreads = [1.0] * len(monitor.watched[0].stored.first)
    plain = asked(VerifyAgain(1), loaded, monitor)
    never = asked(Steer(0.0, 8.0, spreads), loaded, monitor)
    nothing = asked(Steer(1.0, 0.0, spreads), loaded, monitor)
    assert [each.token_ids for each in never] == [each.token_ids for each in plain]
    assert [each.token_ids for each in nothing] == [each.token_ids for each in plain]
    far = asked(Steer(1.0, 400.0, spreads), loaded, monitor)
    assert [each.token_ids for each in far] != [each.token_ids for each in plain]
    assert all(each.starts == 1 and each.spent == len(each.token_ids) for each in far)


def test_a_steered_state_moves_by_strength_times_spread_along_the_probe(loaded, monitor):
    """Seen at the next hook on the same block."""
    stored = monitor.watched[0].stored
    ids = chat_ids(loaded.tokenizer, PROMPTS[0])
    seen: dict[float, list[torch.Tensor]] = {}

    def run(strength):
        from skillprobe.monitor.guard import _steered

        kept = seen.setdefault(strength, [])
        steer = Steer(1.0, strength, [2.0] * len(stored.first))
        with monitor.watch(loaded.model) as reading, _steered(loaded, monitor, reading, steer):
            handle = loaded.blocks[stored.card["layer"] - 1].register_forward_hook(
                lambda _, __, output: kept.append(output[0] if isinstance(output, tuple) else output)
            )
            try:
                with torch.no_grad():
                    loaded.model(input_ids=torch.tensor([ids]), use_cache=False)
            finally:
                handle.remove()
            return reading.latest.numpy().copy()

    np.testing.assert_array_equal(run(0.0), run(3.0))
    moved = (seen[3.0][0] - seen[0.0][0])[0].float().numpy()
    assert np.abs(moved[:-1]).max() == 0
    unit = stored.weights[stored.stage(0)] / np.linalg.norm(stored.weights[stored.stage(0)])
    np.testing.assert_allclose(moved[-1], 6.0 * unit, atol=1e-4)


def test_the_unit_of_steering_is_the_spread_of_the_studys_states(loaded, study, monitor, tmp_path):
    stored = monitor.watched[0].stored
    with pytest.raises(UserError, match="there are no activations in .*word_count, which steering"):
        spreads_of(study, monitor)
    rows = [row for row in ROWS if row["variant"] == "constrained" and not row["truncated"]]
    path = make_shard(loaded, tmp_path / "0.h5", rows)
    course = read_course([path], stored.card["layer"])
    keep = [name for name in ("prompt_100", "eos")]
    few = type(stored)(
        {**stored.card, "stages": [each for each in stored.card["stages"] if each["name"] in keep]},
        stored.first[[0, -1]],
        stored.weights[[0, -1]],
        stored.intercepts[[0, -1]],
        stored.calibration[[0, -1]],
    )
    found = spreads_of_shards([path], few)
    unit = few.weights[1] / np.linalg.norm(few.weights[1])
    assert found[1] == pytest.approx((course.x[EOS][course.valid[EOS]] @ unit).std(), rel=1e-4)
    assert len(found) == 2 and found[0] > 0


def test_several_constraints_are_all_asked(loaded, tmp_path):
    study = made_study(tmp_path, loaded, tasks=("word_count", "json_format"))
    both = Monitor.from_study(
        study, "tiny", ['word_count:{"relation": "at_most", "n": 99}', "json_format:{}"]
    )
    answers = guarded(
        loaded.model, loaded.tokenizer, both, PROMPTS[:1], BestOf(2), settings={"max_new_tokens": 4}
    )
    assert answers[0].probabilities.shape[1] == 2 and answers[0].satisfied is False


def test_without_params_nothing_verifies(loaded, monitor):
    more = {"settings": {"max_new_tokens": 4}}
    answers = guarded(loaded.model, loaded.tokenizer, monitor, PROMPTS, BestOf(2), **more)
    again = guarded(loaded.model, loaded.tokenizer, monitor, PROMPTS, BestOf(2), **more)
    assert [each.satisfied for each in answers] == [None] * 3
    assert [each.response for each in answers] == [each.response for each in again]
    assert guarded(loaded.model, loaded.tokenizer, monitor, [], BestOf(2)) == []


@pytest.mark.parametrize(
    ("policy", "more", "message"),
    [
        (BestOf(0), {}, "BestOf needs at least one start, not 0"),
        (StopEarly(1.5), {}, "StopEarly needs a threshold of 0 to 1, not 1.5"),
        (
            VerifyAgain(2),
            {},
            "asks the verifier, but constraint 'word_count' has none without its params",
        ),
        (StopOnPrefix(2), {}, "StopOnPrefix asks the verifier"),
        (StopEarly(0.5, 2, verified=True), {}, "StopEarly asks the verifier"),
        (BestOf(2), {"settings": {"temperature": 0}}, "at temperature 0 all starts are the same, so BestOf"),
        (BestOf(2), {"constraints": [[]]}, "there are 3 prompts, but constraints of 1"),
        (BestOf(2), {"settings": {"max_new_tokens": 10**6}}, "context window of .* lower max_new_tokens"),
        (Steer(0.5, 2, [1.0]), {}, "Steer needs 6 spreads, one a stage of the monitor, not 1"),
    ],
)
def test_policies_that_can_not_work_are_refused(loaded, monitor, policy, more, message):
    with pytest.raises(UserError, match=message):
        guarded(loaded.model, loaded.tokenizer, monitor, PROMPTS, policy, **more)


def test_steering_follows_one_constraint_and_a_judge_must_be_given(loaded, tmp_path):
    study = made_study(tmp_path, loaded, tasks=("word_count", "toxicity"))
    both = Monitor.from_study(study, "tiny")
    with pytest.raises(UserError, match="Steer follows one constraint"):
        guarded(loaded.model, loaded.tokenizer, both, PROMPTS, Steer(0.5, 2, [1.0] * 6))
    toxic = Monitor.from_study(study, "tiny", ["toxicity:{}"])
    with pytest.raises(UserError, match="constraint 'toxicity' has none without a judge; give a judge"):
        guarded(loaded.model, loaded.tokenizer, toxic, PROMPTS, VerifyAgain(2))


def test_a_response_is_lost_where_the_verifier_knows_it(loaded, monitor):
    user = as_loaded(loaded.model, loaded.tokenizer, monitor)
    ids = loaded.tokenizer(PROMPTS[1], add_special_tokens=False)["input_ids"]
    whole = loaded.tokenizer.decode(ids)
    n = len(whole.split())
    assert n >= 3

    def after(most):
        asks = Constraint("word_count", {"relation": "at_most", "n": most})
        return lost_after(user, Verifier([asks], {}), ids)

    assert after(n) == 0
    place = after(1)
    assert len(loaded.tokenizer.decode(ids[:place]).split()) == 2
    assert len(loaded.tokenizer.decode(ids[: place - 1]).split()) == 1
