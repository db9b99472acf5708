"""What an implicit PRM records, and which reference follows from it."""

import json
import shutil

import pytest
from small_runs import SFT_MODEL, copy_model, load_script

from checks import prm_record
from checks.errors import UserError
from checks.training_run import check_training_run


@pytest.fixture
def prm(tmp_path):
    """Return a function that makes a PRM's folder, which records a reference."""

    def make(reference: str | None) -> str:
        model = copy_model(tmp_path / "prm")
        path = tmp_path / "prm" / "config.json"
        record = prm_record.make_record(reference, 0.3, 0.7, "pairs", {})
        path.write_text(json.dumps({**json.loads(path.read_text()), **record}))
        return model

    return make


def test_what_is_recorded_is_read_back(prm):
    model = prm("a/b")
    expected = {"reference": "a/b", "beta": 0.3, "temperature": 0.7, "loss": "pairs"}
    assert prm_record.read_record(model, "MODEL") == expected
    assert prm_record.read_record(SFT_MODEL, "MODEL") == {}
    assert prm_record.find_start(model, "MODEL") == "a/b"
    assert prm_record.find_start(SFT_MODEL, "MODEL") == SFT_MODEL
    with pytest.raises(UserError, match="MODEL = 'models/none': there is no such folder"):
        prm_record.find_start("models/none", "MODEL")


def test_the_reference_by_constants(prm):
    def find(reference, prm_model=None, coefficient=1.0, value=None):
        constants = dict(MODEL="m", PRM_REFERENCE=reference, PRM_MODEL=prm_model)
        return prm_record.find_reference({**constants, "PROCESS_COEF": coefficient, "VALUE": value})

    assert find("sft") == find("prm") == find("sft", SFT_MODEL) == "m"
    assert find("sft", None, 0, "prm") == "m"  # a value needs the PRM too
    assert find("policy") is find("prm", SFT_MODEL, 0) is find("sft", None, 0) is None
    assert find("prm", SFT_MODEL) == SFT_MODEL  # it is no trained PRM
    assert find("prm", prm("a/b")) == "a/b"


def test_a_frozen_prm_is_its_own_reference_or_not(prm):
    def ask(update, reference, prm_model=None, coefficient=1.0):
        constants = dict(MODEL="m", PRM_REFERENCE=reference, PRM_MODEL=prm_model, VALUE=None)
        constants |= dict(PRM_UPDATE=update, PROCESS_COEF=coefficient)
        return prm_record.is_own_reference(constants)

    assert ask("none", "sft") and ask("none", "prm") and ask("none", "sft", "m")
    assert ask("none", "prm", SFT_MODEL) and not ask("none", "prm", prm("a/b"))
    assert not ask("none", "policy") and not ask("none", "sft", "p") and not ask("after", "sft")
    assert not ask("none", "sft", coefficient=0.0)  # there is no PRM


def test_the_reference_stays_known_when_the_prm_is_gone(prm):
    model = prm("a/b")
    assert prm_record.find_start(model, "PRM_MODEL") == "a/b"
    shutil.rmtree(model)
    assert prm_record.find_start(model, "PRM_MODEL") == "a/b"


def test_what_a_prm_records_is_said_where_the_run_uses_something_else(prm):
    constants = dict(MODEL="m", PRM_MODEL=prm("a/b"), PROCESS_COEF=1.0, VALUE=None)
    constants |= dict(PRM_REFERENCE="prm", BETA=0.3, TEMPERATURE=0.7)
    constants |= dict(PRM_UPDATE="after", PRM_LOSS="pairs")
    model = constants["PRM_MODEL"]
    assert prm_record.explain_prm(constants) == f"{model} against a/b"
    others = dict(PRM_REFERENCE="sft", BETA=0.05, TEMPERATURE=1.0, PRM_LOSS="ce")
    said = prm_record.explain_prm({**constants, **others})
    trained = "it was trained with reference a/b, beta 0.3, temperature 0.7, loss pairs"
    assert said == f"{model} against m; {trained}"
    said = prm_record.explain_prm({**constants, "PRM_REFERENCE": "policy"})
    assert (
        said == f"{model} against the policy of each iteration; it was trained with reference a/b"
    )


def test_a_frozen_prm_keeps_the_loss_that_it_learned_from(prm):
    trained = dict(PRM_UPDATE="after", PRM_LOSS="ce", PRM_MODEL=prm("a/b"))
    assert prm_record.find_loss(trained) == "ce"
    assert prm_record.find_loss({**trained, "PRM_UPDATE": "none"}) == "pairs"
    assert prm_record.find_loss({**trained, "PRM_UPDATE": "none", "PRM_MODEL": SFT_MODEL}) == "ce"


def test_a_prm_trained_against_policies_is_its_own_start(prm):
    model = prm(None)
    assert prm_record.find_start(model, "MODEL") == model


def test_a_recorded_reference_must_exist_and_share_the_tokenizer(prm, byte_model, tmp_path):
    constants = vars(load_script("train_prime.py", tmp_path, MODEL=SFT_MODEL))
    own = {name: value for name, value in constants.items() if name.isupper()}
    own |= {"PRM_REFERENCE": "prm", "PRM_MODEL": prm("models/none")}
    with pytest.raises(UserError, match=r"recorded by .*prm\) = 'models/none': there is no such"):
        check_training_run(own, tmp_path / "run", None)

    def rewrite(old: str, new: str):
        path = tmp_path / "prm" / "config.json"
        path.write_text(path.read_text().replace(old, new))
        prm_record.read_record.cache_clear()

    rewrite("models/none", byte_model)
    with pytest.raises(UserError, match="The reference .* and MODEL have different vocabularies"):
        check_training_run(own, tmp_path / "run", None)
    short = copy_model(tmp_path / "short")
    config = json.loads((tmp_path / "short" / "config.json").read_text())
    config["max_position_embeddings"] = 16
    (tmp_path / "short" / "config.json").write_text(json.dumps(config))
    rewrite(byte_model, short)
    with pytest.raises(UserError, match="but the reference .*short knows 16 positions"):
        check_training_run(own, tmp_path / "run", None)
    rewrite(short, SFT_MODEL)
    check_training_run({**own, "PRM_UPDATE": "none"}, tmp_path / "run", None)
