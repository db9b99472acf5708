"""The estimate of memory: counted by hand, and measured where it is measured."""

from types import SimpleNamespace

import pytest
import torch
from small_runs import SFT_MODEL, SMALL_RUN, load_script, refuse_to_load
from tiny_models import SIZES, make_model, save_tiny_model
from transformers import AutoConfig

from checks.errors import UserError
from checks.model_files import count_parameters
from models import activations, roles, sharding
from models import estimate as estimate_module
from models.estimate import (
    Estimate,
    check_fits,
    estimate_memory,
    estimate_training,
    find_available,
    load_configs,
)

CONSTANTS = dict(
    MODEL="tiny",
    PROCESS_COEF=1.0,
    KL_COEF=0.0,
    VALUE=None,
    PRM_REFERENCE="sft",
    PRM_UPDATE="after",
    EVAL_DATA=None,
    EVAL_PROMPTS=100,
    SHARD=False,
    LORA_RANK=0,
    ROLLOUT_DTYPE="float32",
    OFFLOAD_MODELS=False,
    OFFLOAD_OPTIMIZERS=False,
    GRADIENT_CHECKPOINTING=False,
    MIXED_PRECISION="no",
    PROMPTS_PER_ITERATION=4,
    SAMPLES_PER_PROMPT=4,
    MAX_PROMPT_TOKENS=10,
    MAX_RESPONSE_TOKENS=20,
    ROLLOUT_TOKENS=270,
    MICRO_BATCH_TOKENS=120,
)
CONFIG = AutoConfig.for_model("llama", **SIZES)
SIZE = count_parameters(CONFIG)


def estimate(processes: int = 1, **constants) -> Estimate:
    configs = {"policy": CONFIG, "PRM": CONFIG, "reference": CONFIG}
    if constants.get("PROCESS_COEF") == 0:
        del configs["PRM"], configs["reference"]
    return estimate_memory({**CONSTANTS, **constants}, configs, processes, "cuda")


def counted(parts: dict) -> dict:
    """Return the parts that are no measurement."""
    return {k: v for k, v in parts.items() if k not in ("activations", "libraries", "cache")}


def test_weights_gradients_and_moments_are_counted():
    whole = estimate()
    assert list(whole) == ["generate", "PRM", "policy"]
    everything = dict(policy=4 * SIZE, PRM=4 * SIZE, reference=4 * SIZE, optimizers=16 * SIZE)
    assert counted(whole["generate"]) == {**everything, "gradients": 0}
    assert counted(whole["PRM"]) == {**everything, "gradients": 4 * SIZE}
    assert counted(estimate(2)["generate"])["gradients"] == 8 * SIZE  # buckets of both models
    # 3 prompts of 10 + 4 x 20 tokens, 2 layers, 2 heads of 8, keys and values, float32
    assert whole["generate"]["cache"] == 3 * 90 * 2 * 2 * 8 * 2 * 4
    # 2 prompts each, of 4 / 0.25. Their 8 responses may end with a prompt each: 20 + 10 tokens.
    assert estimate(8)["generate"]["cache"] == 8 * 30 * 2 * 2 * 8 * 2 * 4
    # one prompt is generated for, though its responses need more than there is room for
    assert estimate(ROLLOUT_TOKENS=50)["generate"]["cache"] == 90 * 2 * 2 * 8 * 2 * 4
    # greedy evaluation: 9 prompts of 10 + 20 tokens fit
    assert estimate(EVAL_DATA="x")["generate"]["cache"] == 9 * 30 * 2 * 2 * 8 * 2 * 4
    evaluated = estimate(EVAL_DATA="x")["generate"]["activations"]
    assert evaluated > 2 * whole["generate"]["activations"]
    frozen = estimate(PRM_UPDATE="none")
    assert counted(frozen["PRM"]) == {**everything, "gradients": 0, "optimizers": 8 * SIZE}
    alone = estimate(PROCESS_COEF=0)
    assert list(alone) == ["generate", "policy"]
    assert counted(alone["policy"]) == dict(
        policy=4 * SIZE, gradients=4 * SIZE, optimizers=8 * SIZE
    )


def test_more_responses_to_short_prompts_are_drawn_at_once(monkeypatch):
    monkeypatch.setattr(activations, "_measure", lambda *_: 0)  # of the prompts
    parts = estimate(MAX_PROMPT_TOKENS=100, ROLLOUT_TOKENS=360)["generate"]
    # 360 tokens hold 2 prompts of 100 + 4 x 20 tokens, and 4 of 1 + 4 x 20: 16 rows of 16 bytes a
    # logit, 4 of them the logit's own
    assert parts["activations"] == 16 * CONFIG.vocab_size * 16


def test_a_value_model_is_counted_as_what_it_is():
    configs = {"policy": CONFIG, "value": CONFIG}
    size = SIZE - 32 * 32 + 32 + 1  # no head for tokens, but one number and its bias
    parts = estimate_memory(CONSTANTS, configs, 1, "cuda")
    assert list(parts) == ["generate", "value", "policy"]
    everything = dict(policy=4 * SIZE, value=4 * size, optimizers=8 * (SIZE + size))
    assert counted(parts["value"]) == {**everything, "gradients": 4 * size}
    assert counted(parts["policy"]) == {**everything, "gradients": 4 * SIZE}
    assert parts["value"]["activations"] < parts["policy"]["activations"]  # no logits
    away = dict(OFFLOAD_MODELS=True, OFFLOAD_OPTIMIZERS=True)
    parts = estimate_memory({**CONSTANTS, **away}, configs, 1, "cuda")["value"]
    assert counted(parts) == dict(value=4 * size, gradients=4 * size, optimizers=8 * size)


def test_a_script_that_generates_nothing_is_counted_as_one_phase():
    own = dict(SHARD=False, GRADIENT_CHECKPOINTING=False, MIXED_PRECISION="no")
    own |= dict(MAX_TOKENS=30, MICRO_BATCH_TOKENS=120)
    [parts] = estimate_training(own, {"model": CONFIG}, 2, "cuda").values()
    assert counted(parts) == dict(model=4 * SIZE, gradients=4 * SIZE, optimizers=8 * SIZE)
    assert parts["libraries"] == 2 * 2**30
    four_rows = activations._train_once({**CONSTANTS, "SAMPLES_PER_PROMPT": 1}, CONFIG, 1, "cuda")
    assert parts["activations"] == pytest.approx(four_rows, rel=0.1)  # 29 responding tokens, not 20
    one_row = [  # longer than a micro-batch
        estimate_training(
            {**own, "MAX_TOKENS": n, "MICRO_BATCH_TOKENS": 9}, {"model": CONFIG}, 1, "cuda"
        )
        for n in (30, 60)
    ]
    assert one_row[1]["model"]["activations"] > 1.5 * one_row[0]["model"]["activations"]
    configs = {"PRM": CONFIG, "reference": CONFIG}
    whole = estimate_training({**own, "SHARD": True}, configs, 4, "cuda")
    parts = counted(whole["PRM"])
    assert parts.pop("gathered layers") > 0
    shares = dict(PRM=SIZE, reference=SIZE, gradients=SIZE, optimizers=2 * SIZE)
    assert parts == pytest.approx(shares, abs=4)
    advice = Estimate(PRM=dict(PRM=9, optimizers=8, gradients=7)).advise(own)
    assert advice.count("SHARD = True on several processes") == 3
    assert "LORA_RANK" not in advice and "OFFLOAD" not in advice  # no constants of these scripts


def test_what_waits_in_host_memory_is_not_counted():
    copied = estimate(ROLLOUT_DTYPE="bfloat16", OFFLOAD_MODELS=True, OFFLOAD_OPTIMIZERS=True)
    assert counted(copied["generate"]) == {
        "rollout copy": 2 * SIZE,
        "gradients": 0,
        "optimizers": 0,
    }
    assert counted(copied["PRM"]) == dict(
        PRM=4 * SIZE, reference=4 * SIZE, gradients=4 * SIZE, optimizers=8 * SIZE
    )


def test_a_sharded_model_takes_its_share_and_a_copy():
    sharded = estimate(4, SHARD=True, ROLLOUT_DTYPE="bfloat16")["policy"]
    for name, size in (("policy", SIZE), ("gradients", SIZE), ("optimizers", 4 * SIZE)):
        assert sharded[name] == pytest.approx(size, abs=4), name
    assert sharded["rollout copy"] == 2 * SIZE
    layer = (
        count_parameters(AutoConfig.for_model("llama", **{**SIZES, "num_hidden_layers": 3})) - SIZE
    )
    rest = SIZE - 2 * layer
    assert sharded["gathered layers"] == layer * (3 * 4 + 2 * 4) + rest * 8


def test_adapters_share_one_model():
    model = make_model("llama")
    adapters = roles.add_adapters
    adapters(model, ("policy",), 3, 6.0)
    own = sum(p.numel() for n, p in model.named_parameters() if "lora_" in n)
    parts = counted(estimate(LORA_RANK=3, ROLLOUT_DTYPE="bfloat16")["PRM"])
    assert parts == dict(
        policy=4 * own + 2 * SIZE, PRM=4 * own, gradients=4 * own, optimizers=16 * own
    )


def test_autocast_keeps_a_copy_of_a_float32_model_that_generates():
    half = dict(MIXED_PRECISION="bf16")
    plain, cast = (estimate(**own)["generate"]["activations"] for own in ({}, half))
    assert cast - plain == 2 * SIZE
    assert estimate(**half, ROLLOUT_DTYPE="bfloat16")["generate"]["activations"] < plain


def test_several_gpus_need_room_to_exchange():
    assert [estimate(n)["policy"]["libraries"] for n in (1, 2)] == [2**30, 2 * 2**30]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        dict(MIXED_PRECISION="bf16", GRADIENT_CHECKPOINTING=True),
        dict(LORA_RANK=2, ROLLOUT_DTYPE="bfloat16", MIXED_PRECISION="bf16"),
        dict(SHARD=True, MIXED_PRECISION="bf16"),
    ],
)
def test_activations_of_some_layers_tell_those_of_many(changes):
    constants = {**CONSTANTS, **changes}
    config = AutoConfig.for_model("llama", **{**SIZES, "num_hidden_layers": 9})
    for phase, run in (
        ("generate", activations._generate_once),
        ("policy", activations._train_once),
    ):
        told = activations.extrapolate_activations(constants, config, phase, 1, "cpu")
        assert told == pytest.approx(run(constants, config, 1, "cpu"), rel=0.02)
    few = AutoConfig.for_model("llama", **{**SIZES, "num_hidden_layers": 1})
    one = activations.extrapolate_activations(constants, few, "policy", 1, "cpu")
    assert one == activations._train_once(constants, few, 1, "cpu") < told


def test_activations_that_are_computed_again_are_not_counted():
    config = AutoConfig.for_model("llama", **{**SIZES, "num_hidden_layers": 6})
    kept, computed_again = (
        activations._train_once({**CONSTANTS, "GRADIENT_CHECKPOINTING": on}, config, 1, "cpu")
        for on in (False, True)
    )
    assert computed_again < 0.6 * kept


def test_tensors_without_content_take_what_real_ones_take(monkeypatch):
    without = activations._train_once(CONSTANTS, CONFIG, 1, "cpu")
    monkeypatch.setattr(activations, "FakeTensorMode", torch.enable_grad)
    assert without == pytest.approx(activations._train_once(CONSTANTS, CONFIG, 1, "cpu"), rel=0.02)


def test_bytes_are_counted_while_they_are_there():
    weight = torch.nn.Linear(10, 10, bias=False)
    with activations._LargestSum(weight) as largest:
        one = torch.zeros(1000)
        one.view(10, 100)  # the same bytes
        assert largest.now == 4000
        with torch.no_grad():
            two = weight(torch.zeros(5, 10))
        assert largest.now == 4000 + 200  # the input is gone, the weight is not counted
        del one, two
        assert largest.now == 0 and largest.most == 4000 + 400


def test_what_does_not_fit_is_refused_with_what_to_change():
    parts = dict(policy=10 * 2**30, cache=30 * 2**30, activations=2**30)
    fitting = Estimate(generate=parts)
    told = check_fits(CONSTANTS, fitting, 42 * 2**30, 1)
    assert told == "41.0 GiB on each of 1 device(s), estimated; 42.0 GiB available"
    warned = check_fits(CONSTANTS, fitting, 20 * 2**30, 1)
    assert "too few" in warned and "cache 30.0 GiB: ROLLOUT_TOKENS lowered" in warned
    with pytest.raises(UserError, match="(?s)This will not fit.*policy 10.0 GiB: SHARD = True"):
        check_fits(CONSTANTS, fitting, 9 * 2**30, 1)
    set_already = {**CONSTANTS, "LORA_RANK": 8, "GRADIENT_CHECKPOINTING": True}
    with pytest.raises(UserError) as error:
        check_fits(set_already, fitting, 9 * 2**30, 1)
    assert 'policy 10.0 GiB: ROLLOUT_DTYPE = "bfloat16"\n' in str(error.value)
    assert "activations 1.0 GiB: MICRO_BATCH_TOKENS lowered" in str(error.value)


def test_processes_share_the_memory_of_their_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(estimate_module.machine, "_CONTAINER", tmp_path)  # which has no limits
    size = SimpleNamespace(available=4000)
    mine = SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=7))
    monkeypatch.setattr(estimate_module.psutil, "virtual_memory", lambda: size)
    monkeypatch.setattr(estimate_module.psutil, "Process", lambda: mine)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert find_available(torch.device("cpu")) == 1000 + 7


def test_a_run_that_cannot_fit_ends_before_a_model_loads(tmp_path, monkeypatch):
    settings = {**SMALL_RUN, "OUTPUT_DIR": str(tmp_path / "runs")}
    script = load_script("train_prime.py", tmp_path, **settings)
    monkeypatch.setattr(sharding, "load_model", refuse_to_load)
    monkeypatch.setattr(estimate_module, "find_available", lambda _: 1000)
    with pytest.raises(UserError, match="This will not fit"):
        script.main()


def test_a_model_that_cannot_be_tried_is_trained_all_the_same(tmp_path, monkeypatch, capsys):
    settings = {**SMALL_RUN, "OUTPUT_DIR": str(tmp_path / "runs"), "NUM_ITERATIONS": 1}
    script = load_script("train_prime.py", tmp_path, **settings)
    monkeypatch.setattr(estimate_module, "extrapolate_activations", lambda *_: 1 / 0)
    script.main()
    assert "not estimated: ZeroDivisionError" in capsys.readouterr().out


def test_the_estimate_is_printed_without_loading(tmp_path, monkeypatch, capsys):
    script = load_script("train_prime.py", tmp_path, **SMALL_RUN)
    monkeypatch.setattr(sharding, "load_model", refuse_to_load)
    script.main(["--estimate=8x80", "SHARD=True"])
    output = capsys.readouterr().out
    assert f"{SFT_MODEL}, 0.00 B parameters, 8 process(es) on cuda" in output
    assert "74.5 GiB available" in output and "gathered layers" in output
    script.main(["--estimate"])
    assert "1 process(es)" in capsys.readouterr().out
    with pytest.raises(UserError, match="--estimate=8x80 for 8 processes"):
        script.main(["--estimate=80"])


def test_a_prm_of_another_size_is_counted_as_what_it_is():
    larger = AutoConfig.for_model("llama", **{**SIZES, "num_hidden_layers": 6})
    configs = {"policy": CONFIG, "PRM": larger, "reference": CONFIG}
    parts = counted(estimate_memory(CONSTANTS, configs, 1, "cuda")["PRM"])
    size = count_parameters(larger)
    assert parts["PRM"] == parts["gradients"] == 4 * size
    assert parts["optimizers"] == 8 * (SIZE + size) and parts["reference"] == 4 * SIZE
    configs["reference"] = larger
    parts = counted(estimate_memory(CONSTANTS, configs, 1, "cuda")["policy"])
    assert parts["reference"] == 4 * size and parts["gradients"] == 4 * SIZE
    assert parts["optimizers"] == 8 * (SIZE + size)
    shared = {**CONSTANTS, "LORA_RANK": 3}
    assert "reference" not in estimate_memory(shared, configs, 1, "cuda")["PRM"]


def test_a_reference_of_the_kl_is_counted_where_the_prm_has_none_that_serves(tmp_path):
    own = {**CONSTANTS, "MODEL": save_tiny_model(tmp_path / "m"), "PRM_MODEL": None}
    size = count_parameters(AutoConfig.from_pretrained(own["MODEL"]))
    for settings, names in (
        (dict(KL_COEF=0.1, PROCESS_COEF=0), {"KL reference"}),
        (dict(KL_COEF=0.1), {"reference"}),  # the PRM's is MODEL as well
        (dict(KL_COEF=0.1, PRM_REFERENCE="policy"), {"KL reference"}),
        (dict(PRM_REFERENCE="policy"), set()),
        (dict(KL_COEF=0.1, PROCESS_COEF=0, LORA_RANK=2), set()),  # the frozen model itself
    ):
        constants = {**own, **settings}
        parts = estimate_memory(constants, load_configs(constants), 1, "cuda")["policy"]
        assert {name for name in parts if "reference" in name} == names
        assert all(parts[name] == 4 * size for name in names)
        steps = 2 if constants["PROCESS_COEF"] else 1  # a reference has no optimizer
        if not constants["LORA_RANK"]:
            assert parts["optimizers"] == 8 * steps * size and parts["gradients"] == 4 * size


@pytest.mark.parametrize(
    "settings, kind",
    [
        ({}, "tiny"),
        (dict(PRM_REFERENCE="prm"), "wide"),
        (dict(PRM_REFERENCE="policy"), None),
        (dict(PROCESS_COEF=0), None),
    ],
)
def test_the_estimate_counts_the_reference_that_is_loaded(settings, kind, tmp_path):
    folders = {"tiny": save_tiny_model(tmp_path / "tiny")}
    folders["wide"] = save_tiny_model(tmp_path / "wide", hidden_size=32)
    own = {**CONSTANTS, "MODEL": folders["tiny"], "PRM_MODEL": folders["wide"], **settings}
    configs = load_configs(own)
    assert ("reference" in configs) is (kind is not None)
    if kind:
        width = AutoConfig.from_pretrained(folders[kind]).hidden_size
        assert configs["reference"].hidden_size == width
