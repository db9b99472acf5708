"""Faults in training/: steps, checkpoints, saving, bookkeeping, row order, processes."""

from mutations.fault import faults

PROCESSES = "training/test_processes.py"
UPDATE = f"{PROCESSES}::test_an_update_is_the_same[2]"
SEVERAL = f"{PROCESSES}::test_a_run_goes_on_with_another_number_of_processes"
KILLED = "test_train_prime_stops.py::test_a_killed_run_resumes_to_the_same_metrics_and_weights"
BEFORE_AND_AFTER = "test_train_prime_stops.py::test_one_iteration_is_evaluated_before_and_after"
LEFT = "test_train_prime.py::test_a_run_leaves_what_the_docs_say"

FAULTS = [
    *faults(
        "training/micro_batches.py",
        "training/test_micro_batches.py",
        (
            "steps without rows",
            "steps = min(optimizer_steps, len(prompts))",
            "steps = optimizer_steps",
        ),
        (
            "the last rows of a batch are left out",
            "edges = [len(prompts) * step // steps for",
            "edges = [len(prompts) // steps * step for",
        ),
        (
            "every process computes all rows",
            "share = firsts[index::num_processes]",
            "share = firsts[:]",
        ),
        (
            "processes have unequally many micro-batches",
            "return plans[process_index] + [([], 1)] * (most - len(plans[process_index]))",
            "return plans[process_index]",
        ),
        (
            "siblings go together beyond the budget",
            "fits = prompts[first] + sum(lengths) <= micro_batch_tokens",
            "fits = True",
        ),
        (
            "siblings go together whatever it costs",
            "if fits and pays_together(prompts[first], lengths, token_cost):",
            "if fits:",
        ),
        (
            "rows are dealt out in their own order",
            "firsts.sort(key=lambda first: -prompts[first] - sums[first])",
            "firsts.sort()",
        ),
        (
            "the budget counts the first sibling alone",
            "sum(responses[first : first + siblings])",
            "responses[first]",
        ),
    ),
    *faults(
        "training/optimizer_steps.py",
        "training/test_optimizer_steps.py",
        (
            "a mean over rows is not scaled by the number of processes",
            "len(micro_rows) / len(rows) * accelerator.num_processes",
            "len(micro_rows) / len(rows)",
        ),
        (
            "a process without rows learns from another's",
            "        if not micro_rows:",
            "        if False:",
        ),
        (
            "the gradient is not clipped",
            "clip_grad_norm_(parameters, trainee.gradient_clip)",
            "clip_grad_norm_(parameters, 1e9)",
        ),
        ("a step is taken on NaN", "if not math.isfinite(norm):", "if False:"),
    ),
    *faults(
        "training/optimizer_steps.py",
        UPDATE,
        (
            "gradients are exchanged at the first micro-batch",
            "is_last = number + 1 == len(plan)",
            "is_last = number == 0",
        ),
        (
            "log-probabilities are not gathered",
            "return accelerator.reduce(computed)  #",
            "return computed  #",
        ),
    ),
    *faults(
        "training/checkpoint.py",
        "training/test_checkpoint.py",
        ("half a checkpoint is found", "if path.name.isdigit()]", "if path.name]"),
        ("old checkpoints stay", "if old != target:", "if False:"),
        (
            "optimizer states are not restored",
            'if "optimizer" in state[trainee.name]:',
            "if False:",
        ),
        (
            "schedules are not restored",
            "trainee.scheduler.load_state_dict(schedules[trainee.name])",
            "pass",
        ),
        (
            "checkpoints hold frozen weights",
            "ignore_frozen_params=True",
            "ignore_frozen_params=False",
        ),
        (
            "the old folder is deleted before the new one is in its place",
            "os.rename(target, old)",
            "shutil.rmtree(target)",
        ),
        (
            "what a kill left half written is in the way",
            "shutil.rmtree(temporary, ignore_errors=True)",
            "pass",
        ),
        (
            "states of adapters are read as the role before",
            "        activate(accelerator, trainee.module)\n",
            "        pass\n",
        ),
        (
            "nothing is flushed to disk",
            "            _flush_to_disk(temporary)",
            "            pass",
        ),
    ),
    *faults(
        "training/checkpoint.py",
        LEFT,
        (
            "an exported PRM does not record its reference",
            "model.config.update(config_extras or {})",
            "pass",
        ),
    ),
    *faults(
        "training/saving.py",
        f"training/test_saving.py {LEFT} {BEFORE_AND_AFTER}",
        (
            "the last of equally good policies is kept",
            "eval_accuracy > self.best",
            "eval_accuracy >= self.best",
        ),
        (
            "the best policy is kept without KEEP_BEST",
            'if self.constants["KEEP_BEST"] and',
            "if",
        ),
        ("the recorded temperature is 1", 'c["BETA"], c["TEMPERATURE"],', 'c["BETA"], 1.0,'),
        (
            "the recorded loss is always that of labels",
            "find_loss(c), templates",
            '"ce", templates',
        ),
        (
            "the start is recorded as the reference, whatever it was",
            "find_reference(c), c",
            'c["MODEL"], c',
        ),
        (
            "the policy records what the PRM should",
            "extras = self._describe_prm() if trainee is self.roles.prm else {}",
            "extras = self._describe_prm() if trainee is self.roles.policy else {}",
        ),
    ),
    *faults(
        "training/saving.py",
        "training/test_saving.py",
        (
            "a best accuracy whose policy was not kept counts",
            "if self._find_best().exists():",
            "if True:",
        ),
        (
            "a resumed run forgets its best accuracy",
            'self.best_accuracy = loop_state["best_accuracy"]',
            "self.best_accuracy = -1.0",
        ),
        (
            "a resumed run generates with the copy it started from",
            "        self.roles.refresh_rollout_model()\n",
            "        pass\n",
        ),
    ),
    *faults(
        "training/saving.py",
        f"{PROCESSES}::test_a_complete_run_of_adapters_is_merged_afterwards",
        (
            "a complete run is not merged afterwards",
            'int(saved.name) >= self.constants["NUM_ITERATIONS"]',
            'int(saved.name) > self.constants["NUM_ITERATIONS"]',
        ),
    ),
    *faults(
        "training/bookkeeping.py",
        f"training/test_bookkeeping.py {LEFT} {KILLED}",
        (
            "every iteration counts as empty",
            "self.empty_iterations = 0 if collected.kept else self.empty_iterations + 1",
            "self.empty_iterations = self.empty_iterations + 1",
        ),
        (
            "the accuracy before the last iteration is taken for the one after",
            '"eval_accuracy": accuracy_after if is_last else eval_accuracy,',
            '"eval_accuracy": eval_accuracy,',
        ),
        (
            "SAVE_EVERY is one iteration late",
            '(iteration + 1) % c["SAVE_EVERY"] == 0',
            'iteration % c["SAVE_EVERY"] == 0',
        ),
        (
            "a resumed run takes the first prompts again",
            'self.stream.load_state_dict(state["stream"])',
            "pass",
        ),
        (
            "a resumed run has lost the surplus",
            "self.surplus = [group for group in saved_groups if group.sampling_logprobs]",
            "pass",
        ),
        (
            "a resumed run has lost the share kept",
            'self.kept_fraction = state["kept_fraction"]',
            "pass",
        ),
    ),
    *faults(
        "training/row_order.py",
        "training/test_row_order.py",
        (
            "every epoch has the same order",
            "manual_seed(self.seed + self.epoch)",
            "manual_seed(self.seed)",
        ),
        (
            "every seed has the same order",
            "manual_seed(self.seed + self.epoch)",
            "manual_seed(self.epoch)",
        ),
        ("epochs are not counted", "= self.epoch + 1, 0", "= self.epoch, 0"),
        (
            "the position is not restored",
            'self.epoch, self.position = state["epoch"], state["position"]',
            'self.epoch, self.position = state["epoch"], 0',
        ),
    ),
    *faults(
        "training/processes.py",
        SEVERAL,
        (
            "a process generates with another prompt's random numbers",
            "seeds[share],",
            "seeds[: len(prompts[share])],",
        ),
        (
            "gathered groups are in the order of the processes",
            "key=lambda n: n % accelerator.num_processes)",
            "key=lambda n: n)",
        ),
        (
            "every process generates for all prompts",
            "share = slice(accelerator.process_index, None, accelerator.num_processes)",
            "share = slice(None)",
        ),
    ),
    *faults(
        "training/processes.py",
        f"{PROCESSES}::test_an_accelerator_is_made_for_what_is_supported",
        (
            "an engine that is not supported is accepted",
            'if engine in ("FSDP", "DEEPSPEED", "MEGATRON_LM"):',
            "if False:",
        ),
        ("CPU_THREADS is ignored", "cpu_threads or count_cores()", "count_cores()"),
        ("by default there is one thread", "cpu_threads or count_cores()", "cpu_threads or 1"),
    ),
    *faults(
        "training/processes.py",
        "test_train_prime_stops.py::test_two_runs_do_not_share_a_folder",
        (
            "folders are not locked",
            "lock = files.lock_folder(folder) if accelerator.is_main_process else None",
            "lock = None",
        ),
    ),
    *faults(
        "training/processes.py",
        "training/test_accelerator.py",
        ("a process may hang for hours", "Kwargs(timeout=_PATIENCE)", "Kwargs()"),
        ("cuDNN's attention is used", "enable_cudnn_sdp(False)", "enable_cudnn_sdp(True)"),
        ("segments of the allocator do not expand", "    expand_segments()", "    pass"),
        ("DETERMINISTIC sets nothing", "    if deterministic:", "    if False:"),
    ),
    *faults(
        "models/waiting.py",
        "training/test_accelerator.py",
        ("all wait as for one that hangs", "barrier(group=patient_group(), ", "barrier("),
    ),
    *faults(
        "training/row_order.py",
        "training/test_row_order.py",
        ("rows may have gone since", "if rows != len(self.rows):", "if False:"),
    ),
    *faults(
        "checks/constants.py",
        "training/test_accelerator.py::"
        "test_what_generates_computes_as_training_does_unless_it_is_set",
        ("ROLLOUT_DTYPE is float32 unless set", '"bf16": "bfloat16"}', '"bf16": "float32"}'),
    ),
    *faults(
        "training/bookkeeping.py",
        "training/test_bookkeeping.py",
        (
            "a resumed run has had no empty iteration",
            'self.empty_iterations = state.get("empty_iterations", 0)',
            "self.empty_iterations = 0",
        ),
        (
            "a run that gave up gives up at once",
            '"empty_iterations": 0 if gives_up else self.empty_iterations',
            '"empty_iterations": self.empty_iterations',
        ),
    ),
]
