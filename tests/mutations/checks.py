"""Faults in checks/ and the estimate of memory: what is wrong or too large before loading."""

from mutations.fault import faults

LOADING = "checks/test_before_loading.py"
MISTAKES = f"{LOADING}::test_mistakes_in_constants"

FAULTS = [
    *faults(
        "checks/rows.py",
        "test_data.py",
        (
            "a prompt of exactly the limit is dropped",
            "enumerate(lengths) if length <= limit]",
            "enumerate(lengths) if length < limit]",
        ),
        ("a cache outlives the code", "encode, code]", "encode]"),
        ("a cache outlives encode()", "[rows._fingerprint, encode, code]", "code"),
    ),
    *faults(
        "checks/training_run.py",
        "checks/test_saved_constants.py",
        ("what was logged is lost to other constants", "if saved or (", "if saved and ("),
    ),
    *faults(
        "checks/constants.py",
        f"checks/test_constants.py {MISTAKES}",
        (
            "an override does not reach the script",
            "            names[name] = value\n",
            "            pass\n",
        ),
        (
            "private names are constants",
            'if name.isupper() and not name.startswith("_")]',
            "if name.isupper()]",
        ),
        ("True counts as a number", "if isinstance(value, bool) or not", "if not"),
        (
            "a recipe's base comes after it",
            "ordered += _put_bases_first([below], (*above, argument))",
            "arguments = [*arguments, below]",
        ),
        (
            "a recipe may build on itself",
            "            if argument in above:",
            "            if False:",
        ),
        (
            "a base may lie in another folder",
            "not base or Path(base).name != base",
            "not base",
        ),
        (
            "an optional text may be anything",
            "if value is None and name in optional:",
            "if name in optional:",
        ),
    ),
    *faults(
        "checks/constants.py",
        MISTAKES,
        ("what does not divide is accepted", "if constants[whole] % constants[part]:", "if False:"),
        ("fractions count as whole numbers", "isinstance(lowest, int)", "False"),
    ),
    *faults(
        "checks/allowed_values.py",
        f"{MISTAKES} checks/test_constants.py",
        ("K may be 1", '"SAMPLES_PER_PROMPT": (2, _MANY)', '"SAMPLES_PER_PROMPT": (1, _MANY)'),
        ("the prompt needs no room", 'most += constants["MAX_PROMPT_TOKENS"]', "most += 0"),
        (
            "the PRM's steps need not divide the prompts",
            '"PROMPTS_PER_ITERATION", "PRM_OPTIMIZER_STEPS")',
            '"PROMPTS_PER_ITERATION", "OPTIMIZER_STEPS")',
        ),
        (
            "a temperature of 0 is accepted",
            '"LORA_ALPHA TEMPERATURE VERIFIER',
            '"LORA_ALPHA VERIFIER',
        ),
        (
            "conflicts with LORA_RANK are not seen",
            "        if constants[name]:\n",
            "        if False:\n",
        ),
        (
            "GAMMA may be above 1",
            '("ACCURACY_LOW", "ACCURACY_HIGH", "GAMMA", "GAE_LAMBDA")',
            '("ACCURACY_LOW", "ACCURACY_HIGH", "GAE_LAMBDA")',
        ),
        (
            "a negative learning rate is accepted",
            "KL_COEF POLICY_LR VALUE_LR",
            "KL_COEF VALUE_LR",
        ),
        ("TOP_P may be above 1", '"TOP_P": (1e-9, 1.0)', '"TOP_P": (1e-9, 2.0)'),
        (
            "TOP_P may stand beside greedy responses",
            'if constants["TOP_P"] < 1 and constants["TEMPERATURE"] == 0:',
            "if False:",
        ),
    ),
    *faults(
        "checks/files.py",
        f"{LOADING}::test_what_a_run_has_written_makes_room_for_what_replaces_it"
        f" {LOADING}::test_a_resumed_run_needs_no_more_disk_than_it_has"
        f" {LOADING}::test_a_folder_of_the_main_process_is_told_from_another_of_its_name"
        " checks/test_constants.py::test_file_names",
        (
            "the disk needs to hold one checkpoint",
            "needed = 2 * (sum(",
            "needed = (sum(",
        ),
        (
            "what the run has written makes no room",
            "shutil.disk_usage(folder).free + already_there",
            "shutil.disk_usage(folder).free",
        ),
        (
            "any folder of that name passes for the main process's",
            "if not path.exists() or path.read_text() != mark:",
            "if not path.exists():",
        ),
        ("a checkpoint is counted without moments", "_BYTES_TRAINED = 12", "_BYTES_TRAINED = 4"),
    ),
    *faults(
        "checks/model_files.py",
        f"{LOADING} evaluation/test_scoring.py"
        " test_evaluate.py::test_what_changed_under_the_responses_is_refused",
        ("the time of change is not noted", "path.stat().st_mtime_ns]", "0]"),
        (
            "the longest sequence that fits is refused",
            "if positions and tokens > positions:",
            "if positions and tokens + 1 > positions:",
        ),
        (
            "vocabularies of one size count as the same",
            "if vocabularies[0] != vocabularies[1]:",
            "if len(vocabularies[0]) != len(vocabularies[1]):",
        ),
        ("a tokenizer may have no EOS", "if tokenizer.eos_token_id is None:", "if False:"),
        (
            "a folder may have no weights",
            'if path.is_dir() and not [*path.glob("*.safet',
            'if False and not [*path.glob("*.safet',
        ),
    ),
    *faults(
        "checks/machine.py",
        f"{LOADING}::test_cores_are_shared_by_the_processes_of_a_machine"
        " test_train_prime.py::test_code_prompts_need_a_sandbox",
        ("every process takes all cores", " // count_local_processes())", ")"),
        ("processes of other machines count", '"LOCAL_WORLD_SIZE"', '"WORLD_SIZE"'),
        (
            "programs run without a sandbox unasked",
            "if fault and not allow_unsandboxed:",
            "if False:",
        ),
        ("ALLOW_UNSANDBOXED_CODE is ignored", "if fault and not allow_unsandboxed:", "if fault:"),
    ),
    *faults(
        "checks/saved_constants.py",
        "checks/test_saved_constants.py",
        ("nothing is free to change", "if name not in free_to_change and ", "if "),
        (
            "a folder that moved counts as changed",
            "MOVED.get(v, v) if isinstance(v, str) else v",
            "v",
        ),
        (
            "constants that came later are not compared",
            "sorted(old.keys() | new.keys())",
            "sorted(old)",
        ),
        ("tuples count as changed", "json.loads(json.dumps(new_constants))", "new_constants"),
    ),
    *faults(
        "checks/training_run.py",
        f"{MISTAKES} {LOADING}::test_adapters_need_a_disk_for_the_merged_models_alone"
        " test_train_prime_stops.py::test_a_checkpoint_made_with_other_constants_is_refused",
        (
            "a resumed run may have another BETA",
            "OUTPUT_DIR RUN_NAME NUM",
            "OUTPUT_DIR BETA RUN_NAME NUM",
        ),
        ("RESUME = False overwrites a run", 'if old_constants and not c["RESUME"]:', "if False:"),
        (
            "merged models need no disk",
            "written, exported = [], exported * ",
            "written, exported = [], 0 * ",
        ),
    ),
    *faults(
        "models/estimate.py",
        "models/test_estimate.py",
        (
            "the reference is not counted",
            "    if reference:",
            "    if False:",
        ),
        ("the reference is trained", ' if not role.endswith("reference")}', "}"),
        (
            "the reference has the policy's size",
            'model_files.load_config(reference, "PRM_REFERENCE")',
            'configs["policy"]',
        ),
        (
            "data-parallel training keeps the gradients of a phase alone",
            "if num_processes > parts:",
            "if False:",
        ),
        (
            "a frozen PRM has an optimizer",
            'if role != "PRM" or c["PRM_UPDATE"] != "none"',
            "if role",
        ),
        ("OFFLOAD_MODELS is ignored", 'if c["OFFLOAD_MODELS"] and not on_cpu', "if False"),
        (
            "the cache holds one response a prompt",
            "prompts * (P + samples * T)",
            "prompts * (P + T)",
        ),
        (
            "responses that go on alone share a prompt",
            'max(together, min(apart, c["ROLLOUT_TOKENS"]))',
            "together",
        ),
        (
            "they need more than ROLLOUT_TOKENS",
            'min(apart, c["ROLLOUT_TOKENS"])',
            "apart",
        ),
        (
            "an estimate too large ends the run",
            "if estimate.certain > available:",
            "if estimate.total > available:",
        ),
        ("what surely does not fit goes on", "if estimate.certain > available:", "if False:"),
        (
            "a script that generates nothing keeps what it does not share",
            "parts = num_processes if constants",
            "parts = 1 if constants",
        ),
        (
            "its rows are as short as the prompts",
            '"MAX_RESPONSE_TOKENS": constants["MAX_TOKENS"] - 1}',
            '"MAX_RESPONSE_TOKENS": 1}',
        ),
        (
            "constants of another script are advised",
            "known = constants.keys() - set_already",
            "known = {text.split()[0] for text in _ADVICE[name]} - set_already",
        ),
        ("GB are GiB", "gigabytes * 10**9", "gigabytes * 2**30"),
        (
            "the processes of a machine each have all of its memory",
            "machine.find_free_memory() // machine.count_local_processes()",
            "machine.find_free_memory()",
        ),
    ),
    *faults(
        "models/activations.py",
        "models/test_estimate.py",
        (
            "prompts are as long as they may be, where responses are drawn",
            "list_generated(constants, num_processes, 1)",
            "list_generated(constants, num_processes, 100)",
        ),
        (
            "further layers cost nothing",
            "slope * (all_layers - few))",
            "0 * slope * (all_layers - few))",
        ),
        (
            "views count as new memory",
            "and value.untyped_storage() not in self.known:",
            "and True:",
        ),
        ("freed memory counts", "        self.now -= size", "        pass"),
        ("a micro-batch has one row", "rows = max(1, budget // length)", "rows = 1"),
        ("evaluation is not counted", '    if c["EVAL_DATA"]:', "    if False:"),
        ("prompts are not shared out", "math.ceil(prompts / num_processes)", "math.ceil(prompts)"),
        ("GRADIENT_CHECKPOINTING is ignored", 'if c["GRADIENT_CHECKPOINTING"]:', "if False:"),
    ),
]
