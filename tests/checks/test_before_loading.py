"""Every mistake that can be known before a model loads: one message that names what to change."""

import errno
import json
from collections import namedtuple
from pathlib import Path

import huggingface_hub
import pytest
from small_runs import ROOT, SFT_MODEL, SMALL_RUN, copy_model, load_script, refuse_to_load
from tiny_models import save_tiny_model
from transformers import AutoConfig, AutoTokenizer

from checks import files, machine, model_files
from checks.allowed_values import check_training_constants
from checks.constants import read_constants
from checks.errors import UserError
from models import estimate, sharding


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Call main() of train_prime.py with edited constants, where loading a model is a failure."""

    def start(**constants):
        settings = {**SMALL_RUN, "OUTPUT_DIR": str(tmp_path / "runs"), **constants}
        script = load_script("train_prime.py", tmp_path, **settings)
        monkeypatch.setattr(sharding, "load_model", refuse_to_load)
        with pytest.raises(UserError) as error:
            script.main()
        return str(error.value)

    return start


@pytest.mark.parametrize(
    ("constants", "words"),
    [
        (dict(OPTIMIZER_STEPS=3), "OPTIMIZER_STEPS = 3 does not divide PROMPTS_PER_ITERATION = 4"),
        (dict(PRM_OPTIMIZER_STEPS=5), "PRM_OPTIMIZER_STEPS = 5 does not divide"),
        (dict(ROLLOUT_TOKENS=319), "319 has no room for one prompt and its responses"),
        (dict(SAMPLES_PER_PROMPT=1), "SAMPLES_PER_PROMPT = 1 must lie between 2 and"),
        (
            dict(PRM_UPDATE="often"),
            "PRM_UPDATE = 'often' is unknown: choose one of 'after', 'before'",
        ),
        (dict(PRM_REFERENCE="start"), "PRM_REFERENCE = 'start' is unknown"),
        (
            dict(PRM_REFERENCE="prm", PRM_UPDATE="none"),
            'PRM_REFERENCE = "prm" with PRM_UPDATE = "none": the PRM stays its own reference',
        ),
        (
            dict(PRM_REFERENCE="prm", PRM_UPDATE="none", PRM_MODEL=SFT_MODEL),
            "Set PRM_MODEL to a trained PRM that records its reference",
        ),
        (dict(PRM_LOSS="dpo"), "PRM_LOSS = 'dpo' is unknown"),
        (dict(PROCESS_SCALE="max"), "PROCESS_SCALE = 'max' is unknown"),
        (
            dict(VALUE="head"),
            "ADVANTAGE_ESTIMATOR = 'rloo' does not go with VALUE = 'head': \"gae\" needs",
        ),
        (dict(ADVANTAGE_ESTIMATOR="gae"), "= 'gae' does not go with VALUE = None"),
        (dict(ADVANTAGE_ESTIMATOR="gae", VALUE="model"), "VALUE = 'model' is unknown: choose"),
        (
            dict(ADVANTAGE_ESTIMATOR="gae", VALUE="prm", PRM_UPDATE="none"),
            'VALUE = "prm" needs a PRM that differs from its reference',
        ),
        (dict(GAE_LAMBDA=1.1), "GAE_LAMBDA = 1.1 must lie between 0.0 and 1.0"),
        (dict(GAE_LAMBDA=-0.1), "GAE_LAMBDA = -0.1 must lie between 0.0 and 1.0"),
        (dict(VALUE_LR=-1.0), "VALUE_LR = -1.0 must lie between 0.0 and"),
        (dict(VALUE_CLIP_RANGE=0.0), "VALUE_CLIP_RANGE = 0.0 must lie between"),
        (dict(VALUE_OPTIMIZER_STEPS=3), "VALUE_OPTIMIZER_STEPS = 3 does not divide"),
        (dict(VALUE_WARMUP_ITERATIONS=2), 'set VALUE = "head" and ADVANTAGE_ESTIMATOR = "gae"'),
        (dict(MIXED_PRECISION="fp16"), "MIXED_PRECISION = 'fp16' is unknown"),
        (dict(LOG_WITH="paper"), "LOG_WITH = 'paper' is unknown"),
        (dict(NUM_ITERATIONS=2.5), "NUM_ITERATIONS = 2.5 must be a whole number"),
        (dict(TEMPERATURE=0.0), "TEMPERATURE = 0.0 must lie between"),
        (dict(BETA="0.05"), "BETA = '0.05' must be a number"),
        (dict(TRAIN_DATA=None), "TRAIN_DATA = None must be text"),
        (dict(EVAL_DATA=3), "EVAL_DATA = 3 must be text"),
        (dict(SEED=True), "SEED = True must be a whole number"),
        (dict(GAMMA=1.5), "GAMMA = 1.5 must lie between 0.0 and 1.0"),
        (dict(POLICY_LR=-1e-6), "POLICY_LR = -1e-06 must lie between 0.0 and"),
        (dict(IMPORTANCE_CAP=0.5), "IMPORTANCE_CAP = 0.5 must lie between 1.0 and"),
        (dict(IMPORTANCE_CAP="off"), "IMPORTANCE_CAP = 'off' must be a number"),
        (dict(IMPORTANCE_LEVEL="word"), "IMPORTANCE_LEVEL = 'word' is unknown: choose one of"),
        (dict(CLIP_RANGE_HIGH=-0.1), "CLIP_RANGE_HIGH = -0.1 must lie between 0.0 and"),
        (dict(CLIP_RANGE_HIGH="0.28"), "CLIP_RANGE_HIGH = '0.28' must be a number"),
        (dict(TRUNCATED="drop"), "TRUNCATED = 'drop' is unknown: choose one of 'keep', 'mask'"),
        (dict(TRUNCATED=None), "TRUNCATED = None is unknown: choose one of 'keep'"),
        (dict(KL_COEF=-0.01), "KL_COEF = -0.01 must lie between 0.0 and"),
        (dict(KL_COEF=None), "KL_COEF = None must be a number"),
        (dict(POLICY_SCHEDULE="linear"), "POLICY_SCHEDULE = 'linear' is unknown: choose one of"),
        (dict(MAX_SURPLUS_AGE=-1), "MAX_SURPLUS_AGE = -1 must lie between 0 and"),
        (dict(MODEL=5), "MODEL = 5 must be text"),
        (dict(MODEL="~/model"), "write the folder of ~ in full"),
        (dict(ABILITIES="math"), "ABILITIES = 'math' must be None or a tuple"),
        (dict(VERIFIERS="mine.py:f"), "VERIFIERS = 'mine.py:f' must map abilities"),
        (dict(VERIFIERS={"math": "none.py:f"}), "VERIFIERS: there is no file 'none.py' in"),
        (dict(TEMPLATES={"math": "box it"}), "TEMPLATES['math'] = 'box it' must hold {question}"),
        (dict(MAX_PROMPT_TOKENS=2000), "allow sequences of 2048 tokens, but the model knows 1024"),
        (dict(ACCURACY_LOW=0.9), "ACCURACY_LOW is above ACCURACY_HIGH"),
        (dict(KEEP_BEST=True, EVAL_DATA=None), "KEEP_BEST = True needs held-out prompts"),
        (dict(MODEL="models/none"), "MODEL = 'models/none': there is no such folder"),
        (dict(MODEL="models/tables-sft"), "has moved. It is 'embedded/tables-sft' now"),
        (dict(PRM_MODEL="models/arithmetic-sft"), "It is 'embedded/arithmetic-sft' now"),
        (dict(MODEL=str(ROOT / "tests")), "the folder holds no config.json"),
        (dict(TRAIN_DATA="none.parquet"), "TRAIN_DATA = 'none.parquet': there is no such file"),
        (dict(EVAL_DATA="none.jsonl"), "EVAL_DATA = 'none.jsonl': there is no such file"),
        (
            dict(LORA_RANK=8, SHARD=True),
            "SHARD = True does not go with LORA_RANK = 8",
        ),
        (
            dict(LORA_RANK=8, OFFLOAD_MODELS=True),
            "OFFLOAD_MODELS = True does not go with",
        ),
        (
            dict(LORA_RANK=8, PRM_MODEL=SFT_MODEL),
            "LORA_RANK = 8: policy and PRM are",
        ),
        (dict(LORA_RANK=-1), "LORA_RANK = -1 must lie between 0 and"),
        (dict(ALLOW_UNSANDBOXED_CODE="yes"), "ALLOW_UNSANDBOXED_CODE = 'yes' is unknown: choose"),
        (dict(PUSH_TO="name"), "PUSH_TO = 'name' must name a user and a model: 'user/name'"),
        (dict(PUSH_TO="me/run"), "PUSH_TO = 'me/run' needs a token that may write: run hf auth"),
        (dict(SAVE_ON_INTERRUPT=1.5), "SAVE_ON_INTERRUPT = 1.5 is unknown: choose one of True"),
        (dict(OUTPUT_DIR="/proc/runs"), "OUTPUT_DIR: cannot write to /proc/runs/run"),
    ],
)
def test_mistakes_in_constants(start, constants, words, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    if constants.get("ACCURACY_LOW"):
        constants = {**constants, "ACCURACY_HIGH": 0.8}
    assert words in start(**constants)


GOOD_ROW = {"prompt": "7+8", "ability": "math", "reward_model": {"ground_truth": "15"}}


@pytest.mark.parametrize(
    ("second_row", "words"),
    [
        ({**GOOD_ROW, "ability": "poetry"}, "row 1 has the unknown ability 'poetry'"),
        ({**GOOD_ROW, "ability": "code"}, "row 1 has a ground truth that"),
        ({**GOOD_ROW, "reward_model": {"ground_truth": None}}, "row 1 has no ground truth"),
        ({**GOOD_ROW, "prompt": None}, "row 1 has no prompt"),
    ],
)
def test_mistakes_in_rows(start, tmp_path, second_row, words):
    path = tmp_path / "prompts.jsonl"
    path.write_text(json.dumps(GOOD_ROW) + "\n" + json.dumps(second_row) + "\n")
    for constant in ("TRAIN_DATA", "EVAL_DATA"):
        assert start(**{constant: str(path)}).startswith(f"{constant}: {words}")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "there are no rows in it"),
        ('{"prompt": "7+8", "solution": "15"}\n', "columns are ['prompt', 'solution']; rows need"),
        ("{]", "cannot be read"),
    ],
)
def test_mistakes_in_files(start, tmp_path, content, words):
    path = tmp_path / "prompts.jsonl"
    path.write_text(content)
    message = start(TRAIN_DATA=str(path))
    assert message.startswith("TRAIN_DATA") and words in message


def test_a_tokenizer_without_eos_token(start, tmp_path):
    model = copy_model(tmp_path / "model", eos_token=None)
    assert "its tokenizer has no EOS token" in start(MODEL=model)


def test_a_tokenizer_without_chat_template_while_rows_hold_messages(start, tmp_path):
    model = copy_model(tmp_path / "model")
    (tmp_path / "model" / "chat_template.jinja").unlink()
    row = {**GOOD_ROW, "prompt": [{"role": "user", "content": "7+8"}]}
    (tmp_path / "prompts.jsonl").write_text(json.dumps(row) + "\n")
    message = start(MODEL=model, TRAIN_DATA=str(tmp_path / "prompts.jsonl"))
    assert message.startswith("TRAIN_DATA: row 0 holds messages, but the tokenizer has no chat tem")


def test_an_adapter_alone(start, tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "holds an adapter without the model" in start(MODEL=str(tmp_path))


def test_a_folder_of_the_main_process_is_told_from_another_of_its_name(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    with pytest.raises(UserError, match="of the main process cannot be seen on"):
        files.check_shared(theirs, "mark")
    with files.lock_folder(theirs) as old:
        files.mark_folder(old)  # an earlier run of that machine alone
    with files.lock_folder(ours) as lock:
        mark = files.mark_folder(lock)
        files.check_shared(ours, mark)
        with pytest.raises(UserError, match="need one folder that they share"):
            files.check_shared(theirs, mark)


def test_cores_are_shared_by_the_processes_of_a_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "_CONTAINER", tmp_path)  # of this test: without limits
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: set(range(16)))
    for processes, cores in ((1, 16), (4, 4), (32, 1)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
        monkeypatch.setenv("WORLD_SIZE", str(2 * processes))  # on two machines
        assert machine.count_cores() == cores


def test_a_container_s_limits_count(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "_CONTAINER", tmp_path)
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: set(range(16)))
    memory = namedtuple("memory", "available")(8 * 2**30)
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: memory)
    assert machine.count_cores() == 16 and machine.find_free_memory() == 8 * 2**30
    limits = {"cpu.max": "max 100000", "memory.max": "max"}
    for cores, free in ((16, 8 * 2**30), (4, 700)):
        for name, text in limits.items():
            (tmp_path / name).write_text(text + "\n")
        assert machine.count_cores() == cores and machine.find_free_memory() == free
        limits = {"cpu.max": "350000 100000", "memory.max": "1000", "memory.current": "500"}
        limits["memory.stat"] = "active_file 7\ninactive_file 200"


def test_a_full_disk(start, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**9, 10**9, 10**6)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: usage)
    message = start()
    assert message.startswith("OUTPUT_DIR: the disk of") and "0.0 GiB free" in message


def test_the_disk_must_hold_the_prm_at_its_own_size(start, tmp_path, monkeypatch):
    def refuse(*_, **sizes):
        raise UserError(str(sizes))

    monkeypatch.setattr(files, "check_folder", refuse)
    prm = save_tiny_model(tmp_path / "prm")
    both = [449_280, model_files.count_parameters(AutoConfig.from_pretrained(prm))]
    assert start(PRM_MODEL=prm) == str({"trained": both, "exported": both})


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.fcntl, "lockf", refuse)
    with pytest.raises(UserError, match="cannot be locked: .*No locks available.*file system"):
        files.lock_folder(tmp_path)


def test_what_a_run_has_written_makes_room_for_what_replaces_it(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**9, 10**9, 5000)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: usage)
    settings = dict(trained=[150, 100], exported=[250])
    with pytest.raises(UserError, match="the disk of"):
        files.check_folder(tmp_path, "OUTPUT_DIR", **settings)  # 8,000 bytes, twice 4,000
    for name, size in (("checkpoint/000001/__0_0.distcp", 2500), ("prm/model.safetensors", 500)):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"0" * size)
    files.check_folder(tmp_path, "OUTPUT_DIR", **settings)


def test_adapters_need_a_disk_for_the_merged_models_alone(start, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**9, 10**9, 10**7)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: usage)
    assert "the disk of" in start()  # two models of 0.45 M parameters in training, twice
    usage = usage._replace(free=10**6)
    assert "the disk of" in start(LORA_RANK=4, LORA_MERGE=True)
    monkeypatch.setattr(estimate, "check_run", lambda *_: pytest.fail("got that far"))
    with pytest.raises(pytest.fail.Exception, match="got that far"):
        start(LORA_RANK=4)


def test_a_constant_that_was_renamed():
    constants = read_constants({"MODEL": "a/b", "helper": 1, "_PRIVATE": 2})
    assert constants == {"MODEL": "a/b"}
    with pytest.raises(UserError, match="TRAIN_DATA is missing among the constants"):
        check_training_constants(constants)


def set_positions(model: Path, count: int) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "max_position_embeddings": count}))


def test_models_that_cannot_be_loaded(start, tmp_path):
    assert "MODEL = 'a/b' is no causal LM in a folder or on the hub" in start(MODEL="a/b")
    assert "is no causal LM" in start(MODEL="gpt2-of-nobody")
    model = copy_model(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    assert "the folder holds no weights" in start(MODEL=model)
    other = copy_model(tmp_path / "other")
    tokenizer = AutoTokenizer.from_pretrained(other)
    tokenizer.add_tokens(["<new>"])
    tokenizer.save_pretrained(other)
    words = "PRM_MODEL and MODEL have different vocabularies (64 and 63 tokens)"
    assert words in start(PRM_MODEL=other)
    swapped = copy_model(tmp_path / "swapped")
    file = tmp_path / "swapped" / "tokenizer.json"
    content = json.loads(file.read_text())
    vocabulary = content["model"]["vocab"]
    vocabulary["+"], vocabulary["-"] = vocabulary["-"], vocabulary["+"]
    file.write_text(json.dumps(content))
    assert "different vocabularies (63 and 63 tokens)" in start(PRM_MODEL=swapped)
    short = Path(copy_model(tmp_path / "short"))
    set_positions(short, 16)
    words = f"tokens, but PRM_MODEL = {short} knows 16 positions"
    assert words in start(PRM_MODEL=str(short))
    path = tmp_path / "other" / "config.json"
    path.write_text(json.dumps({"model_type": "t5"}))
    assert "is no causal LM" in start(MODEL=other)


def test_a_resumed_run_needs_no_more_disk_than_it_has(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**9, 10**9, 100)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UserError):
        files.check_folder(tmp_path, "OUTPUT_DIR", trained=[100], exported=[100])
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "model.safetensors").write_bytes(b"0" * 3200)
    files.check_folder(tmp_path, "OUTPUT_DIR", trained=[100], exported=[100])


def test_parameters_are_counted_without_making_them():
    assert model_files.count_parameters(AutoConfig.from_pretrained(SFT_MODEL)) == 449_280


def test_the_longest_sequence_may_fill_all_positions():
    config = AutoConfig.from_pretrained(SFT_MODEL)
    model_files.check_length(config, config.max_position_embeddings, "X")
    with pytest.raises(UserError, match="X allow sequences of 1025 tokens"):
        model_files.check_length(config, config.max_position_embeddings + 1, "X")


def test_longrope_keeps_to_its_first_frequencies():
    rope = dict(rope_type="longrope", short_factor=[1.0] * 4, long_factor=[2.0] * 4)
    rope |= dict(rope_theta=1e4)
    sizes = dict(hidden_size=32, num_attention_heads=4, vocab_size=32, bos_token_id=None)
    settings = dict(max_position_embeddings=256, original_max_position_embeddings=64)
    settings |= dict(pad_token_id=0, eos_token_id=1, rope_parameters=rope)
    config = AutoConfig.for_model("phi3", **sizes, **settings)
    model_files.check_length(config, 64, "X")
    with pytest.raises(UserError, match="64 positions .original_max_position_embeddings in"):
        model_files.check_length(config, 65, "X")
