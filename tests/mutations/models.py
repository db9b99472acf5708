"""Faults in models/: batches, packing, log-probabilities, roles, adapters, trainees, loading."""

from mutations.fault import faults

FLAT = "models/test_varlen.py::test_flat_rows_get_what_padded_rows_get"

FAULTS = [
    *faults(
        "models/batches.py",
        "training/test_micro_batches.py"
        " test_rollout.py::test_batches_are_cut_by_their_padded_tokens"
        " test_rollout.py::test_rollouts_are_padded_left_and_right"
        " models/test_logprobs.py::test_selected_rows_lose_only_padding",
        (
            "EOS is no part of the response",
            "[1] * (len(prompt) + len(response))",
            "[1] * (len(prompt) + len(response) - 1)",
        ),
        (
            "outcomes of other rows",
            "outcome_rewards=rollouts.outcome_rewards[index],",
            "outcome_rewards=rollouts.outcome_rewards[: len(index)],",
        ),
        (
            "the first columns of a part are lost",
            "columns = slice(prompt_width - max(prompts),",
            "columns = slice(prompt_width - max(prompts) + 1,",
        ),
        (
            "columns of padding are kept",
            "columns = slice(prompt_width - max(prompts),",
            "columns = slice(0,",
        ),
        (
            "a batch may not fill the budget",
            "* sum(joint) <= token_budget",
            "* sum(joint) < token_budget",
        ),
        (
            "a batch is as wide as its last row",
            "joint = (max(widths[0], mine[0]), max(widths[1], mine[1]))",
            "joint = mine",
        ),
        (
            "the shortest rows come first",
            "-prompt_lengths[row] - response_lengths[row])",
            "prompt_lengths[row] + response_lengths[row])",
        ),
        (
            "prompts are as long as their responses",
            "lengths = list(map(len, prompts)), list(map(len, responses))",
            "lengths = list(map(len, responses)), list(map(len, responses))",
        ),
    ),
    *faults(
        "models/packing.py",
        "models/test_logprobs.py training/test_micro_batches.py",
        (
            "a token is predicted from itself",
            "predictors = places // T * (P + T) + P + step - 1",
            "predictors = places // T * (P + T) + P + step",
        ),
        (
            "a sibling's first token is predicted from the sibling before",
            "before = torch.where(step == 0, P - 1, columns - 1)",
            "before = columns - 1",
        ),
        (
            "siblings see each other",
            "sees = (key == 0) | (key == query) & (key > 0)",
            "sees = key >= 0",
        ),
        (
            "positions of siblings go on from each other",
            "prompt_mask.sum(dim=1)[row] + step)",
            "columns)",
        ),
        (
            "positions count left padding",
            "positions = (attention_mask.cumsum(dim=1) - 1).clamp(min=0)",
            "positions = torch.arange(P + T).expand(attention_mask.shape)",
        ),
        (
            "positions of packed prompts count left padding",
            "prompt_positions = (prompt_mask.cumsum(dim=1) - 1).clamp(min=0)",
            "prompt_positions = torch.arange(P).expand(prompt_mask.shape)",
        ),
        (
            "the prompt of another row",
            "place(input_ids[::siblings, :P], tokens)",
            "place(input_ids[: len(prompt_mask), :P], tokens)",
        ),
        (
            "siblings go together where that costs more",
            "return attended_in_vain < _LAYER_COST",
            "return attended_in_vain > _LAYER_COST",
        ),
        (
            "padding behind a short row counts as prompt",
            "owner[:, P:] -= (owner[:, P:] == 0).long()",
            "pass",
            "equivalent because no token comes after it, so none sees it",
        ),
    ),
    *faults(
        "models/packing.py",
        FLAT,
        (
            "a flat sibling's first token is predicted from the sibling before",
            "torch.where(places % T == 0, place[places // (b * T), P - 1], own - 1)",
            "own - 1",
        ),
        (
            "positions of flat siblings go on from each other",
            "torch.where(column < P, column - P, (column - P) % T)",
            "column - P",
        ),
        (
            "flat siblings see their prompt twice",
            "is_query[:, 1:, :P] = False",
            "pass",
        ),
    ),
    *faults(
        "models/varlen.py",
        FLAT,
        ("a token of a flat row sees those behind it", "mask.tril(keys - queries)", "mask"),
        (
            "the model's own scaling is ignored",
            "sees the last key\n        scale=scale,",
            "sees the last key\n        scale=None,",
        ),
        (
            "keys of a flat row are not those of the segments",
            "if segments.keys is not None:",
            "if False:",
        ),
    ),
    *faults(
        "models/logprobs.py",
        "models/test_logprobs.py models/test_adapters.py",
        ("the temperature is ignored", "logits.float() / temperature", "logits.float()"),
        (
            "the temperature divides in the precision of the logits",
            "logits = logits.float() / temperature",
            "logits = logits / temperature",
        ),
        (
            "log-softmax in the precision of the logits",
            "log_softmax(dim=-1, dtype=torch.float32)",
            "log_softmax(dim=-1)",
        ),
        (
            "the entropy has a gradient",
            "    with torch.no_grad():",
            "    with torch.enable_grad():",
        ),
        ("gradients of chunks meet in half precision", "cache_enabled=False", "cache_enabled=True"),
        ("all logits are made at once", "if len(states) <= chunk:", "if True:"),
        (
            "logits of all chunks wait for the backward pass",
            "torch_checkpoint(compute, *pair, use_reentrant=False, preserve_rng_state=False)",
            "compute(*pair)",
        ),
        (
            "a shared model computes as the role before",
            "        self.activate()\n",
            "        pass\n",
        ),
    ),
    *faults(
        "models/roles.py",
        "models/test_roles.py models/test_adapters.py",
        (
            "a copy gets new tensors",
            "own.copy_(whole(new.to(own.dtype)))",
            "own.data = whole(new.to(own.dtype))",
        ),
        (
            "the architectures of sharded roles are not compared",
            "can = alike and all(",
            "can = all(",
        ),
        ("one model that takes siblings is enough", "can = alike and all(", "can = alike and any("),
        ("SEED does not change the adapters", 'set_seed(c["SEED"])  # ad', "set_seed(0)  # ad"),
        (
            "optimizer states stay where they are",
            "state[name] = value.to(device, non_blocking=True)",
            "state[name] = value",
        ),
        (
            "a shared model ignores ROLLOUT_DTYPE",
            'dtype = getattr(torch, c["ROLLOUT_DTYPE"])\n',
            "dtype = torch.float32\n",
        ),
    ),
    *faults(
        "models/roles.py",
        "test_train_prime.py::test_a_copy_in_half_precision_generates_and_follows_the_policy",
        ("the copy does not follow", "if self.rollout_model is not policy:", "if False:"),
        (
            "the copy is in full precision",
            'rollout_model, getattr(torch, c["ROLLOUT_DTYPE"])',
            "rollout_model, torch.float32",
        ),
    ),
    *faults(
        "models/roles.py",
        "test_pretend_cuda.py::test_offloaded_values_are_complete_once_the_host_has_waited",
        (
            "nothing goes back to host memory",
            "    _move(_HOST, models, optimizers)",
            "    pass",
        ),
        (
            "the host does not wait for what it offloads",
            "        torch.cuda.synchronize()",
            "        pass",
        ),
        (
            "offloaded models are in pageable memory",
            '        model.to(device, non_blocking=not getattr(model, "is_sharded", False))',
            "        model.to(device)",
        ),
    ),
    *faults(
        "models/batches.py",
        "test_pretend_cuda.py::test_scoring",
        (
            "a batch comes from pageable memory",
            '(made.pin_memory() if device.type == "cuda" else made)',
            "made",
        ),
    ),
    *faults(
        "models/adapters.py",
        "models/test_adapters.py training/test_checkpoint.py",
        (
            "the shared model is trained too",
            "    model.requires_grad_(False)",
            "    pass",
            "equivalent because peft freezes what it adapts",
        ),
        (
            "adapters are in the model's precision",
            "parameter.data = parameter.data.float()",
            "pass",
        ),
        (
            "the reference computes with an adapter",
            "        model.disable_adapters()",
            "        pass",
        ),
        (
            "the adapter of the role before stays",
            "        model.set_adapter(adapter)",
            "        pass",
        ),
        (
            "merging rounds to half precision",
            "adapter, dtype=torch.float32)",
            "adapter, dtype=torch.bfloat16)",
        ),
        (
            "a merged PRM does not record its reference",
            "merged.config.update(config_extras)",
            "pass",
        ),
    ),
    *faults(
        "models/trainee.py",
        "models/test_trainee.py training/test_checkpoint.py models/test_adapters.py",
        ("the warm-up starts at 0", "(taken + 1) / (steps + 1)", "taken / (steps + 1)"),
        (
            "the cosine counts the warm-up twice",
            "/ max(1, all_steps - warmup_steps)",
            "/ max(1, all_steps)",
        ),
        (
            "the optimizer holds frozen weights",
            "for parameter in module.parameters() if parameter.requires_grad]",
            "for parameter in module.parameters()]",
        ),
    ),
    *faults(
        "models/loading.py",
        "models/test_loading.py",
        ("dropout stays", "setattr(config, name, 0.0)", "pass"),
        ("dropout named pdrop stays", 'or name.endswith("pdrop")', ""),
        (
            "weights stay in the precision of the file",
            "config=config, dtype=dtype)",
            'config=config, dtype="auto")',
        ),
        ("GRADIENT_CHECKPOINTING is ignored", "if gradient_checkpointing:", "if False:"),
    ),
    *faults(
        "models/sharding.py",
        "training/test_processes.py::test_what_waits_in_host_memory_is_moved_before_it_is_gathered",
        (
            "what waits in host memory is gathered there",
            "values.to(values.device_mesh.device_type).full_tensor()",
            "values.full_tensor()",
        ),
    ),
    *faults(
        "models/sharding.py",
        "training/test_processes.py::"
        "test_a_sharded_model_has_the_main_process_s_buffers_and_float32_gradients",
        (
            "gradients are summed in half precision",
            "MixedPrecisionPolicy(compute, torch.float32,",
            "MixedPrecisionPolicy(compute, compute,",
        ),
        (
            "layers compute in float32 whatever MIXED_PRECISION is",
            'torch.bfloat16 if accelerator.mixed_precision == "bf16" else None',
            "None",
        ),
        (
            "processes have buffers of their own",
            "distributed.broadcast(own, src=0)",
            "pass",
        ),
    ),
]
