"""Bad input: one line that names the thing and the mend, exit status 2, nothing left running."""

from __future__ import annotations

import json
import shutil

import numpy as np
import onnx
import pytest

from swath import zoo

SMALL = "zoo:squeezenet@64x64"


def test_not_an_onnx_file(refused, tmp_path):
    (tmp_path / "model.onnx").write_text("hello")
    assert "'model.onnx' is not an ONNX model" in refused("verify", "model.onnx")


def test_a_truncated_model(refused, tmp_path, small_model):
    content = small_model.read_bytes()
    (tmp_path / "model.onnx").write_bytes(content[: len(content) // 2])
    assert "truncated" in refused("run", "model.onnx")


def test_external_data_is_missing(refused, tmp_path):
    onnx.save(
        zoo.build("squeezenet", 64, 64),
        tmp_path / "model.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    (tmp_path / "weights.bin").unlink()
    assert "'weights.bin'" in refused("inspect", "model.onnx")


def test_a_free_dimension(refused, swath, tmp_path, small_model):
    model = onnx.load(small_model)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.save(model, tmp_path / "free.onnx")
    assert "--dim batch=1" in refused("verify", "free.onnx")
    assert "write NAME=VALUE" in refused("verify", "free.onnx", "--dim", "batch")
    assert swath("verify", "free.onnx", "--dim", "batch=1").status == 0


def some_input(kind, path):
    image = np.zeros((1, 3, 64, 64), np.float32)
    if kind == "wrong shape":
        np.save(path.with_suffix(".npy"), image[:, :, :32])
        return path.with_suffix(".npy"), "the model needs [1, 3, 64, 64]"
    if kind == "wrong type":
        np.save(path.with_suffix(".npy"), image.astype(np.float64))
        return path.with_suffix(".npy"), "float64"
    if kind == "wrong name":
        np.savez(path.with_suffix(".npz"), photo=image, other=image)
        return path.with_suffix(".npz"), "'photo' is not one of the model's: input"
    if kind == "no picture":
        path.with_suffix(".jpg").write_text("hello")
        return path.with_suffix(".jpg"), "not a picture"
    if kind == "no npy":
        path.with_suffix(".npy").write_text("hello")
        return path.with_suffix(".npy"), "not an .npy file"
    return path.with_suffix(".png"), "no such file"


@pytest.mark.parametrize(
    "kind", ["wrong shape", "wrong type", "wrong name", "no picture", "no npy", "missing"]
)
def test_inputs_that_do_not_fit(refusal, tmp_path, kind):
    path, said = some_input(kind, tmp_path / "input")
    assert said in refusal("run", SMALL, "--input", path)


def test_nan_comes_out_as_the_unsplit_model_gives_it(swath, tmp_path):
    image = np.zeros((1, 3, 64, 64), np.float32)
    image[0, 0, 5, 5] = np.nan
    np.save(tmp_path / "nan.npy", image)
    report = swath("verify", SMALL, "--input", "nan.npy", "--json").json
    assert report["within_tolerance"]


def test_more_devices_than_rows_is_no_error(swath):
    report = swath("verify", SMALL, "--tiles", 40, "--json").json
    assert report["within_tolerance"]


@pytest.fixture
def plan_file(swath, tmp_path, small_model):
    shutil.copy(small_model, tmp_path / "model.onnx")
    assert (
        swath("plan", "model.onnx", "--local", 2, "--planner", "even", "-o", "plan.json").status
        == 0
    )
    return tmp_path / "plan.json"


def test_plans_that_do_not_fit(refused, plan_file):
    other = refused("run", "zoo:squeezenet@96x96", "--plan", "plan.json")
    assert "another model" in other
    assert "plan again" in other
    assert "uses 2 devices" in refused("run", "model.onnx", "--plan", "plan.json", "--local", 3)
    plan = json.loads(plan_file.read_text())
    plan["swath_plan"] += 1
    plan_file.write_text(json.dumps(plan))
    assert "a plan of version" in refused("verify", "model.onnx", "--plan", "plan.json")
    plan_file.write_text("hello")
    assert "not a plan" in refused("verify", "model.onnx", "--plan", "plan.json")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", SMALL, "--planner", "evn"], "did you mean 'even'?"),
        (["run", SMALL, "--option", "depth=3"], "has no option 'depth'"),
        (["run", SMALL, "--option", "split"], "write KEY=VALUE"),
        (["run", SMALL, "--local", "0"], "at least one worker"),
        (["run", SMALL, "--local", "2", "--connect", "tcp/127.0.0.1:9"], "leave it away"),
        (["run", SMALL, "--timeout", "0.000001", "--repeat", "1"], "--timeout"),
        (["run", SMALL, "-o", "no/such/folder.npz"], "no folder 'no/such'"),
        (["run", SMALL, "-o", "."], "name a file"),
        (["run", SMALL, "--picture", "plan.gif"], ".png or .svg"),
        (["run", SMALL, "--mean", "a,b"], "write numbers"),
        (["run", "zoo:resnet43"], "did you mean 'resnet34'"),
        (["run", "zoo:vgg16@7x7"], "smallest input is 32x32"),
        (["run", "nothing.onnx"], "does not exist"),
        (["run"], "Missing argument 'MODEL'"),
        (["run", SMALL, "--fast"], "No such option: --fast"),
        (["verify", SMALL, "--split", "diagonal"], "'channels'"),
        (["verify", SMALL, "--tiles", "0"], "greater than or equal to 1"),
        (["fly"], "No such command 'fly'"),
        (["plan", SMALL], "--cluster FILE or --local N"),
        (["plan", SMALL, "--cluster", "none.yaml"], "none.yaml"),
        (["plan", SMALL, "--local", "2", "--objective", "energy"], "'worker-0' has no watts"),
        (
            ["plan", SMALL, "--local", "2", "--planner", "even", "--objective", "energy"],
            "it plans for latency",
        ),
        (["plan", SMALL, "--local", "2", "--deadline", "0"], "--deadline 0: give the milliseconds"),
        (
            ["plan", SMALL, "--local", "2", "--planner", "pico", "--objective", "latency"],
            "it plans for throughput",
        ),
    ],
)
def test_refused_in_one_line(refusal, arguments, said):
    assert said in refusal(*arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--listen", "somewhere"], "write e.g. tcp/"),
        (["--threads", "no"], "--threads"),
        (["--memory", "much"], "1GiB"),
    ],
)
def test_a_worker_refuses_in_one_line(refused, arguments, said):
    assert said in refused("worker", *arguments)
