"""Which weights are where: copies, optimizer states, siblings."""

from types import SimpleNamespace

import pytest
import torch
from tiny_models import make_model
from torch import nn

from models import roles
from models.logprobs import ResponseLogprobs

ACCELERATOR = SimpleNamespace(unwrap_model=lambda module: module)
CONSTANTS = dict(SHARD=False, MAX_PROMPT_TOKENS=20, MAX_RESPONSE_TOKENS=12, SAMPLES_PER_PROMPT=4)


def make_stepped(device: str = "cpu") -> tuple[nn.Module, torch.optim.Optimizer]:
    """Return a module and its optimizer after a step."""
    module = nn.Linear(3, 2).to(device)
    optimizer = torch.optim.AdamW(module.parameters(), fused=True)
    module(torch.ones(3, device=device)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    return module, optimizer


def test_a_copy_gets_the_weights_in_its_own_precision_and_place():
    policy, copy = make_model("llama"), make_model("llama").to(torch.bfloat16)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.mul_(0.3)
    places = [parameter.data_ptr() for parameter in copy.parameters()]
    roles.copy_weights(policy, copy)
    assert places == [parameter.data_ptr() for parameter in copy.parameters()]
    for new, own in zip(policy.parameters(), copy.parameters()):
        assert torch.equal(own, new.bfloat16())


def test_siblings_are_computed_as_one_where_every_model_can():
    llama, bloom = (
        ResponseLogprobs(model)
        for model in (make_model("llama"), make_model("bloom", n_layer=2, n_head=4))
    )

    def count(policy, prm, reference=None, rollout_model=None, kl_reference=None, **constants):
        trainees = [SimpleNamespace(module=module) for module in (policy, prm) if module]
        value = SimpleNamespace(module=bloom)  # never tried: its backbone is the policy's
        names = dict(trainees=[*trainees, value], value=value)
        names |= dict(reference=reference, rollout_model=rollout_model)
        names |= dict(kl_reference=kl_reference)
        settings = {**CONSTANTS, **constants}
        return roles.count_siblings(ACCELERATOR, settings, SimpleNamespace(**names))

    assert count(llama, None) == count(llama, llama, llama) == 4
    assert count(llama, bloom) == count(llama, llama, kl_reference=bloom) == 1
    # a sharded model cannot be tried: the whole one that generates answers for its own kind
    assert count(llama, llama, llama, llama.model, SHARD=True) == 4
    assert count(bloom, bloom, bloom, bloom.model, SHARD=True) == 1
    assert count(llama, bloom, llama, llama.model, SHARD=True) == 1


def test_optimizer_states_are_moved():
    module, optimizer = make_stepped()
    roles._move(torch.device("meta"), [], [optimizer])
    states = [value for state in optimizer.state.values() for value in state.values()]
    assert len(states) == 6 and all(value.device.type == "meta" for value in states)
    assert module.weight.device.type == "cpu"


def test_a_sharded_model_waits_for_the_copies_of_its_parts():
    module, waits = torch.nn.Linear(2, 2), []
    module.to = lambda _, non_blocking: waits.append(not non_blocking)
    roles._move(torch.device("cpu"), [module], [])
    module.is_sharded = True
    roles._move(torch.device("cpu"), [module], [])
    assert waits == [False, True]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_what_was_offloaded_steps_as_if_it_never_was():
    weights = []
    for offload in (False, True):
        torch.manual_seed(0)
        module, optimizer = make_stepped("cuda")
        parameters = list(module.parameters())
        moved = ([module], [optimizer]) if offload else ([], [])
        for _ in range(2):
            with roles.on_device(torch.device("cuda"), *moved):
                module(torch.ones(3, device="cuda")).sum().backward()
                optimizer.step()
                optimizer.zero_grad()
            assert module.weight.device.type == ("cpu" if offload else "cuda")
        assert list(module.parameters())[0] is parameters[0]
        weights.append(module.weight.detach().cpu())
    assert torch.equal(*weights)
