"""The environment keeps Gymnasium's contract, what a policy says is done, and only policies are
taken for policies."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import gymnasium
import numpy as np
import onnx
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_for_training

from swath.errors import WorkloadError
from swath.workload.allocators import Setting, make_allocator
from swath.workload.allocators.priced import PRICES, Priced, Prices, action_of, prices_at
from swath.workload.arrivals import offer
from swath.workload.comparing import compare
from swath.workload.learning.environment import AllocationEnv
from swath.workload.learning.grounds import around, made_up
from swath.workload.learning.observing import FEATURES, MOST, Watch
from swath.workload.learning.policy import load_policy, save_policy
from swath.workload.learning.steering import EPOCH, prices_of
from swath.workload.serving import World, serve
from tests.workload.grounds import alone, at, ground, service

STEPS = 5


def layers(*last: float, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """A network; with ``last``, one that always says that."""
    generator = np.random.default_rng(seed)
    sizes = [len(FEATURES), 8, PRICES]
    made = [
        (generator.standard_normal((after, before)), np.zeros(after))
        for before, after in pairwise(sizes)
    ]
    if last:
        made[-1] = (np.zeros((PRICES, 8)), np.array(last))
    return made


def episode(env: gymnasium.Env, seed: int, action: np.ndarray) -> list[float]:
    """Its rewards."""
    env.reset(seed=seed)
    rewards, is_over = [], False
    while not is_over:
        _, reward, is_over, _, _ = env.step(action)
        rewards.append(reward)
    return rewards


def test_the_environment_is_what_gymnasium_and_its_learners_expect():
    made = gymnasium.make("swath/Allocation-v0", steps=STEPS)
    check_env(made.unwrapped, skip_render_check=True)
    check_for_training(AllocationEnv(steps=STEPS))


def test_the_same_seed_is_the_same_episode_and_another_another():
    env = AllocationEnv(steps=STEPS)
    usual = np.zeros(PRICES, np.float32)
    assert episode(env, 1, usual) == episode(env, 1, usual)
    assert episode(env, 1, usual) != episode(env, 2, usual)
    assert len(episode(env, 3, usual)) == STEPS


def test_refusing_everybody_costs():
    """The most hope there is, and deadlines that leave none: all are refused."""
    hopeless = np.array([0, 0, 0, 0, 0, 1, 0], np.float32)
    workload, menus = ground((service(rate=5.0, deadline=0.18), [alone(0.1)]))
    env = AllocationEnv(
        lambda generator: around(
            type(made_up())(workload, menus, [1e9]), (0.5, 0.5)
        )(generator),
        steps=STEPS,
    )  # fmt: skip
    assert sum(episode(env, 0, hopeless)) < sum(episode(env, 0, np.zeros(PRICES, np.float32)))


def test_drawn_workloads_have_the_load_that_was_drawn():
    generator = np.random.default_rng(0)
    base = made_up()
    loads = []
    for _ in range(20):
        drawn = around(base, (0.4, 0.8))(generator)
        loads.append(drawn.scale * drawn.ground.load)
        assert [menu.ways for menu in drawn.ground.menus] == [menu.ways for menu in base.menus]
    assert 0.4 <= min(loads) < max(loads) <= 0.8


def test_every_feature_is_finite_however_little_happens():
    workload, menus = ground((service(), [alone(0.1, 0, 2)]), (service("b"), [alone(9.0, 1, 2)]))
    setting = Setting(workload, menus, [1e9, 1e9])
    watch = Watch(setting)
    world = World(workload, menus, at(0.0, 0.0, 5.0, services=[0, 1, 1]))
    for arrivals in (0, 1, 2, 3):
        world.run(make_allocator("greedy", setting), arrivals)
        seen = watch.look(world.moment)
        assert seen.shape == (len(FEATURES),)
        assert seen.dtype == np.float32
        assert (np.abs(seen) <= MOST).all()


def test_an_action_of_nothing_asks_the_usual_prices_and_the_ends_are_the_ends():
    assert prices_of([0.0] * PRICES) == prices_at(action_of(Prices()))
    assert prices_of([1.0] * PRICES) == prices_at([1.0] * PRICES)
    assert prices_of([-1.0] * PRICES) == prices_at([-1.0] * PRICES)
    assert action_of(prices_at([0.3] * PRICES)) == pytest.approx([0.3] * PRICES)


def test_the_price_of_time_decides_between_soon_and_thrifty():
    base = made_up()
    setting = Setting(base.workload, base.menus, base.speeds)
    heavy = at(0.0, services=[2])
    soon, thrifty = (
        serve(base.workload, base.menus, heavy, Priced(setting, Prices(time=time)))
        for time in (0.1, 300.0)
    )
    assert soon.latencies[0] < thrifty.latencies[0]
    assert (soon.busy > 0).sum() > 2
    assert (thrifty.busy > 0).sum() == 1


def test_who_is_patient_waits_for_the_fast_device():
    workload, menus = ground((service(), [alone(0.1, 0, 2), alone(0.3, 1, 2)]))
    setting = Setting(workload, menus, [3e9, 1e9])
    both = at(0.0, 0.0)
    for patience, expected in ((0.5, [0.1, 0.2]), (5.0, [0.1, 0.3])):
        served = serve(workload, menus, both, Priced(setting, Prices(time=0.1, patience=patience)))
        assert sorted(served.latencies) == pytest.approx(expected)


def test_who_weighs_much_does_not_wait_for_who_weighs_little():
    """A short request shares the device with a long one, and is over long before it."""
    workload, menus = ground((service("long"), [alone(10.0)]), (service("short"), [alone(0.1)]))
    setting = Setting(workload, menus, [1e9])
    offered = at(0.0, 1.0, services=[0, 1])
    sharing, waiting = (
        serve(workload, menus, offered, Priced(setting, Prices(lightness=lightness)))
        for lightness in (1.0, 0.0)
    )
    assert sharing.latencies[1] == pytest.approx(0.1 * (1 + 0.01))
    assert waiting.latencies[1] == pytest.approx(9.1)


def test_a_policy_s_word_is_done(tmp_path):
    """One that always says the same does what the rule does at those prices."""
    said = [0.5, -0.5, 0.1, 0.0, 0.2, -1.0, 0.3]
    path = tmp_path / "policy.onnx"
    save_policy(layers(*said), path)
    assert load_policy(path).act(np.zeros(len(FEATURES), np.float32)) == pytest.approx(said)
    base = made_up()
    setting = Setting(base.workload, base.menus, base.speeds, policy=path)
    offered = offer(base.workload, 30.0)
    learnt = serve(base.workload, base.menus, offered, make_allocator("drl", setting))
    asked = Priced(setting, prices_of(np.array(said, np.float32)))
    assert (serve(base.workload, base.menus, offered, asked).latencies == learnt.latencies).all()


def test_a_policy_cuts_what_it_says_to_what_can_be_asked(tmp_path):
    path = tmp_path / "policy.onnx"
    save_policy(layers(*[9.0, -9.0, 0, 0, 0, 0, 0]), path)
    action = load_policy(path).act(np.ones(len(FEATURES), np.float32))
    assert action[:2] == pytest.approx([1.0, -1.0])


def test_the_shipped_policy_is_one_and_better_than_who_came_first():
    base = made_up()
    drl, greedy = (
        row.figures.mean for row in compare(base, ["drl", "greedy"], [0.9], requests=20 * EPOCH)
    )
    assert drl < greedy


def _foreign(path):
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            [onnx.helper.make_node("Relu", ["x"], ["y"])], "g",
            [onnx.helper.make_tensor_value_info("x", 1, [1])],
            [onnx.helper.make_tensor_value_info("y", 1, [1])],
        ),
        ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 17)],
    )  # fmt: skip
    onnx.save(model, path)


def _other_features(path):
    save_policy(layers(), path)
    model = onnx.load(path)
    (entry,) = model.metadata_props
    entry.value = entry.value.replace("backlog", "weather")
    onnx.save(model, path)


def _other_shape(path):
    save_policy(layers(), path)
    props = onnx.load(path).metadata_props
    _foreign(path)
    model = onnx.load(path)
    model.metadata_props.extend(props)
    onnx.save(model, path)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: None, "No such file"),
        (lambda path: path.write_bytes(b"\x80\x04pickle"), "no ONNX file that can be run"),
        (_foreign, "no policy of swath's"),
        (_other_features, "for other features than this version's"),
        (_other_shape, "of another shape"),
    ],
)
def test_what_is_no_policy_is_refused_in_one_line(write, said, tmp_path):
    path = tmp_path / "policy.onnx"
    write(path)
    with pytest.raises(WorkloadError) as error:
        load_policy(path)
    assert said in str(error.value)


# Trains for so many steps, and says after how many it was told of some.
_TRAIN = """
import sys
from pathlib import Path
from swath.workload.learning.grounds import made_up
from swath.workload.learning.training import Training, train
if __name__ == "__main__":
    training = Training(int(sys.argv[1]), checkpoint=Path("kept.checkpoint"), logs=Path("logs"))
    train(made_up(), training, Path("policy.onnx"), lambda done, reward: print(done))
"""


@pytest.mark.slow
def test_training_goes_on_where_it_stopped_and_writes_a_policy(tmp_path):
    # In a process of its own: what Python starts to make processes with lasts as long as that.
    (tmp_path / "train.py").write_text(_TRAIN)
    checkpoint, policy = tmp_path / "kept.checkpoint", tmp_path / "policy.onnx"

    def train(steps: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "train.py", str(steps)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    for steps in (640, 1280):  # The second time only what is left.
        assert train(steps).stdout == f"{steps}\n"
    assert load_policy(policy).act(np.zeros(len(FEATURES), np.float32)).shape == (PRICES,)
    assert list((tmp_path / "logs").rglob("events.out.tfevents*"))
    checkpoint.write_bytes(b"\x80\x04pickle")
    assert "kept.checkpoint: not a checkpoint" in train(2000).stderr
