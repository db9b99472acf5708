"""One model, three roles: what each computes and what all share."""

import pytest
import torch
from accelerate import Accelerator
from small_runs import SFT_MODEL
from tiny_models import ARCHITECTURES, make_model

from generation.siblings import takes_siblings
from models import roles
from models.adapters import activate_adapter, add_adapters
from models.loading import load_model
from models.logprobs import ResponseLogprobs

INPUTS = (torch.randint(3, 30, (4, 12), generator=torch.Generator().manual_seed(0)),)
INPUTS += (torch.ones(4, 12, dtype=torch.long), ([6] * 4, [6] * 4), 1, 1.0)


@pytest.mark.parametrize("kind", [kind for kind in ARCHITECTURES])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_reference_is_the_model_itself_bit_for_bit(kind, dtype):
    model = make_model(kind).to(dtype)
    with torch.no_grad():
        alone, _ = ResponseLogprobs(model)(*INPUTS)
    add_adapters(model, ("policy", "prm"), 4, 8.0)
    policy, prm = ResponseLogprobs(model, "policy"), ResponseLogprobs(model, "prm")
    reference = ResponseLogprobs(model)
    with torch.no_grad():
        assert torch.equal(policy(*INPUTS)[0], alone)  # adapters start as nothing
        policy.activate()
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.3)
        changed, _ = policy(*INPUTS)
        assert not torch.allclose(changed, alone, atol=1e-2)
        for _ in range(2):  # whoever came before
            assert torch.equal(reference(*INPUTS)[0], alone)
            assert torch.equal(prm(*INPUTS)[0], alone)
            assert torch.equal(policy(*INPUTS)[0], changed)


def test_the_gradient_reaches_the_adapter_of_the_role_alone():
    model = make_model("llama")
    add_adapters(model, ("policy", "prm"), 4, 8.0)
    reference, prm = ResponseLogprobs(model), ResponseLogprobs(model, "prm")
    reference(*INPUTS)
    logprobs, _ = prm(*INPUTS)
    logprobs.sum().backward()
    reached = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    expected = {name for name, _ in model.named_parameters() if ".prm." in name}
    assert reached == expected and len(reached) == 2 * 7 * 2
    assert all(model.get_parameter(name).dtype == torch.float32 for name in reached)


CONSTANTS = dict(
    MODEL=SFT_MODEL,
    PRM_MODEL=None,
    PROCESS_COEF=1.0,
    VALUE="head",
    KL_COEF=0.1,
    POLICY_SCHEDULE="constant",
    PRM_REFERENCE="sft",
    OFFLOAD_MODELS=False,
    OFFLOAD_OPTIMIZERS=False,
    GRADIENT_CHECKPOINTING=False,
    SHARD=False,
    LORA_RANK=4,
    LORA_ALPHA=8.0,
    ROLLOUT_DTYPE="bfloat16",
    WEIGHT_DECAY=0.0,
    SEED=0,
)
for role in ("POLICY", "PRM", "VALUE"):
    CONSTANTS |= {f"{role}_LR": 0.1, f"{role}_WARMUP_STEPS": 0, f"{role}_GRADIENT_CLIP": 1.0}


def test_four_roles_hold_one_copy_of_the_model():
    loaded = roles.load_roles(Accelerator(cpu=True), CONSTANTS)
    assert loaded.kl_reference is None  # the PRM's reference is MODEL: it serves
    modules = [trainee.module for trainee in loaded.trainees] + [loaded.reference]
    own = loaded.rollout_model.model
    assert all(module.model.model is own for module in modules) and len(modules) == 4
    size = sum(p.numel() for p in load_model(SFT_MODEL).parameters())
    storages = {
        parameter.untyped_storage().data_ptr(): parameter.untyped_storage().nbytes()
        for module in modules
        for parameter in module.parameters()
    }
    trained = [
        p.numel() for t in loaded.trainees for g in t.optimizer.param_groups for p in g["params"]
    ]
    assert sum(storages.values()) == 2 * size + 4 * sum(trained)  # bfloat16, float32


def test_the_seed_decides_what_adapters_start_from():
    starts = []
    for seed in (0, 1, 0):
        loaded = roles.load_roles(Accelerator(cpu=True), {**CONSTANTS, "SEED": seed})
        named = loaded.rollout_model.named_parameters()
        starts.append({name: p for name, p in named if "lora_A" in name})
    assert len(starts[0]) > 10
    for name, start in starts[0].items():
        assert torch.equal(start, starts[2][name]) and not torch.equal(start, starts[1][name])


def test_a_model_with_an_adapter_takes_siblings():
    model = make_model("qwen2")
    assert takes_siblings(model, 20)
    add_adapters(model, ("policy",), 4, 8.0)
    other = make_model("llama")
    add_adapters(other, ("policy",), 4, 8.0)
    activate_adapter(other, "policy")
    assert takes_siblings(other, 20)
