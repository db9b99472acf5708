"""Faults in train_prm.py and in what it shares with train_prime.py: data, passes, records."""

from mutations.fault import faults
from mutations.wiring import felt

SCRIPT = "test_train_prm.py"
TWIN = f"{SCRIPT}::test_the_script_and_its_twin_agree"
PASS = "training/test_prm_pass.py"
LABELLED = "training/test_labelled.py"
RECORD = "checks/test_prm_record.py"

FAULTS = [
    *felt(
        "training/prm_pass.py",
        (
            "default",
            "the PRM learns inverted labels",
            "return prm_loss(rewards, labels,",
            "return prm_loss(rewards, 1 - labels,",
        ),
        (
            "default",
            "the PRM's loss is a mean per micro-batch",
            "row_weights[index]) * weight",
            "row_weights[index])",
        ),
        (
            "TEMPERATURE",
            "the PRM's log-probabilities ignore TEMPERATURE",
            "prm.module(*micro.model_inputs(), temperature)",
            "prm.module(*micro.model_inputs(), 1.0)",
        ),
        (
            "TEMPERATURE",
            "the reference's log-probabilities ignore TEMPERATURE",
            "reference(*micro.model_inputs(), temperature)",
            "reference(*micro.model_inputs(), 1.0)",
        ),
        (
            "PRM_LOSS",
            "pairs are learned from as single responses",
            'if loss != "pairs":',
            "if True:",
        ),
    ),
    *felt(
        "checks/prm_record.py",
        (
            "PRM_REFERENCE prm",
            'PRM_REFERENCE = "prm" is ignored',
            'c["PRM_REFERENCE"] == "prm" and c["PRM_MODEL"]',
            "False",
        ),
        (
            "PRM_REFERENCE",
            'PRM_REFERENCE = "policy" is ignored',
            'or c["PRM_REFERENCE"] == "policy"',
            "",
        ),
    ),
    *faults(
        "training/prm_pass.py",
        PASS,
        (
            "the slopes are those of this process's rows alone in the batch's order",
            "slopes[index] * rewards",
            "slopes[: len(index)] * rewards",
        ),
        (
            "the first pass over pairs adds a gradient too",
            "rewards, ref_logprobs = run(reference, None)",
            "rewards, ref_logprobs = run(reference, weigh_cross_entropy)",
        ),
        (
            "no loss has a gradient too",
            "run(reference, weigh_cross_entropy if loss else None)",
            "run(reference, weigh_cross_entropy)",
        ),
    ),
    *faults(
        "training/prm_pass.py",
        f"{SCRIPT}::test_two_processes_train_as_one",
        (
            "slopes are those of the pairs of one process",
            "accelerator.reduce(rewards)[counted]",
            "rewards[counted]",
        ),
        (
            "data-parallel training halves the loss of pairs",
            ".sum() * accelerator.num_processes",
            ".sum()",
        ),
    ),
    *faults(
        "training/labelled.py",
        LABELLED,
        (
            "responses do not end in EOS",
            "[*response_ids, tokenizer.eos_token_id], fault",
            "response_ids, fault",
        ),
        (
            "other labels are not noticed",
            'checksum = zlib.crc32(table["label"].to_numpy(), checksum)',
            "pass",
        ),
        (
            "token ids may move to the next response unnoticed",
            "for numbers in (ids.value_lengths(), ids.flatten()):",
            "for numbers in (ids.flatten(),):",
        ),
        ("outcome_reward goes before label", 'if row.get("label") is None', "if True"),
        ("labels above 1 are accepted", "if not 0 <= label <= 1:", "if not 0 <= label:"),
        ("one class is accepted", "if len(known) == 1:", "if False:"),
        (
            "one class is looked for in all rows",
            "for group in groups for row in group}",
            "for row in range(len(labels))}",
        ),
        (
            "a surplus that was never trained on is lost",
            'if row.get("decision") != "surplus" or key not in trained:',
            'if row.get("decision") != "surplus":',
        ),
        (
            "a surplus counts twice",
            'if row.get("decision") == "trained":',
            "if False:",
        ),
        ("a line being written is read", 'if line.endswith("\\n") and line', "if line"),
        (
            "the system prompt is ignored",
            "encode_pair(row, tokenizer, system_prompt, known",
            "encode_pair(row, tokenizer, None, known",
        ),
        (
            "every row is a prompt of its own",
            "groups.setdefault(tuple(prompt_ids), [])",
            "groups.setdefault((row, *prompt_ids), [])",
        ),
        (
            "pairs are looked for in the first prompt alone",
            "for group in groups):",
            "for group in groups[:1]):",
        ),
        (
            "everything may be held out",
            "round(fraction * len(groups)), len(groups) - 1)",
            "round(fraction * len(groups)), len(groups))",
        ),
        ("the seed does not decide who is held out", "manual_seed(seed)", "manual_seed(0)"),
        (
            "rollouts lose their token ids",
            "for name in _ROLLOUT_FEATURES}",
            'for name in _ROLLOUT_FEATURES if name != "response_ids"}',
        ),
        (
            "labels added to rollouts count for nothing",
            'if row.get("label") is None else row["label"]',
            'if "outcome_reward" in row else row["label"]',
        ),
        (
            "templates of the run count for nothing",
            "{**data.TEMPLATES, **templates}",
            "data.TEMPLATES",
        ),
    ),
    *faults(
        "checks/prm_record.py",
        f"{RECORD} models/test_estimate.py",
        (
            "what a PRM records is not its start",
            'read_record(model, constant).get("reference") or model',
            "model",
        ),
        ("the reference is looked up again", "@cache  #", "#"),
        ("a frozen PRM is not noticed", 'return c["PRM_UPDATE"] == "none" and', "return False and"),
        ("what a PRM records is not said", "if record.get(name) not in", "if None not in"),
        ("without a PRM there is a reference", 'if "prm" not in list_roles(c) or c', "if c"),
    ),
    *faults(
        "checks/training_run.py",
        f"{RECORD} checks/test_before_loading.py::test_mistakes_in_constants",
        (
            "a PRM may be its own reference for ever",
            "if is_own_reference(c):",
            "if False:",
        ),
        (
            "the reference may have another vocabulary",
            'for n in (reference, c["MODEL"])]',
            'for n in (c["MODEL"], c["MODEL"])]',
        ),
    ),
    *faults(
        "train_prm.py",
        [f"{TWIN}[{name}]" for name in ("LOSS", "BETA", "TEMPERATURE", "REFERENCE_MODEL")],
        (
            "the loss is always cross-entropy",
            "self.compute_rewards(batch, prompts, LOSS)",
            'self.compute_rewards(batch, prompts, "ce")',
        ),
        ("BETA is ignored", "            beta=BETA,", "            beta=0.5,"),
        ("TEMPERATURE is ignored", "temperature=TEMPERATURE,", "temperature=1.0,"),
        (
            "REFERENCE_MODEL is ignored",
            'REFERENCE_MODEL or find_start(MODEL, "MODEL")',
            'find_start(MODEL, "MODEL")',
        ),
        (
            "the schedule ends after an epoch",
            "warmup_then_cosine(WARMUP_STEPS, self.steps)",
            "warmup_then_cosine(WARMUP_STEPS, self.steps // EPOCHS)",
        ),
        (
            "an epoch more",
            "math.ceil(EPOCHS * num_prompts",
            "math.ceil((EPOCHS + 1) * num_prompts",
        ),
        (
            "every epoch has two steps",
            "ends_epoch = seen < learner.prompts_per_step",
            "ends_epoch = done % 2 == 0",
        ),
    ),
    *faults(
        "train_prm.py",
        f"{SCRIPT}::test_it_learns_and_is_measured_on_prompts_it_never_saw"
        f" {SCRIPT}::test_the_script_and_its_twin_agree",
        (
            "it trains on the held-out prompts",
            "RowStream(trained, SEED)",
            "RowStream(groups, SEED)",
        ),
        (
            "accuracy is measured on the prompts trained on",
            "learner.evaluate(held_out)",
            "learner.evaluate(stream.rows)",
        ),
        (
            "evaluation trains",
            "self.compute_rewards(batch, prompts, None)",
            "self.compute_rewards(batch, prompts, LOSS)",
        ),
        (
            "the recorded beta is another",
            "make_record(reference, BETA,",
            "make_record(reference, 0.05,",
        ),
        (
            "the recorded loss is always that of labels",
            "BETA, TEMPERATURE, LOSS,",
            'BETA, TEMPERATURE, "ce",',
        ),
    ),
    *faults(
        "train_prm.py",
        f"{SCRIPT}::test_a_run_of_prime_goes_on_with_it_and_its_reference",
        (
            "the recorded temperature is always 1",
            "make_record(reference, BETA, TEMPERATURE,",
            "make_record(reference, BETA, 1.0,",
        ),
    ),
    *faults(
        "train_prm.py",
        f"{SCRIPT}::test_a_stopped_run_goes_on_and_ends_the_same",
        (
            "a resumed run starts with the first prompts again",
            '        stream.load_state_dict(state["stream"])\n',
            "",
        ),
        ("what a kill cut off stays in the log", '["step"] <= first', '["step"] >= 0'),
        (
            "another BETA goes on",
            "        check_same_constants(constants, old_constants, folder, _FREE_TO_CHANGE)",
            "        pass",
        ),
    ),
]
