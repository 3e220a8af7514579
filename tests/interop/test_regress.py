"""lm-eval itself, offline, on local tasks; needs `pip install "theobot[regress]"`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

pytest.importorskip("lm_eval", reason="lm-eval is not installed")

from peft import LoraConfig, get_peft_model

from theobot import cli
from theobot.bench.regress import harness
from theobot.bench.regress.regress import SAMPLES
from theobot.config import TrainSettings, load_settings
from theobot.data.prompt import Turn
from theobot.errors import DataError
from theobot.generation.local import LocalGenerator, load_generator
from theobot.model.adapter import select
from theobot.training.plan import plan_training
from theobot.training.train import train

# Libraries of libraries; what they warn of is not ours to mend.
pytestmark = pytest.mark.filterwarnings("default")

FACTS = [
    line.split("|")
    for line in """\
How many sides has a hexagon?|six|five|eight|seven
What gas do green plants take in to make sugar?|carbon dioxide|helium|argon|neon
What is the capital of Portugal?|Lisbon|Madrid|Porto|Rome
What is 12 times 12?|144|124|132|156
Which planet is closest to the Sun?|Mercury|Venus|Mars|Earth
What do we call a word that names a thing?|noun|verb|adverb|preposition
At what temperature in Celsius does pure water freeze?|0|10|32|100
Which organ pumps blood round the body?|heart|liver|lung|kidney
What is the largest ocean?|Pacific|Atlantic|Indian|Arctic
How many minutes are in three hours?|180|150|120|240
Which metal is liquid at room temperature?|mercury|iron|tin|zinc
What is the square root of 81?|9|8|7|11
Which language is spoken in Brazil?|Portuguese|Spanish|French|Dutch
What is the opposite of ancient?|modern|old|broken|large
How many degrees has a right angle?|90|45|60|180
What do bees make?|honey|silk|milk|wool
Which force pulls things towards the ground?|gravity|friction|magnetism|tension
What is the first month of the year?|January|March|June|December
How many legs has a spider?|eight|six|ten|four
What is half of 250?|125|120|150|115
Which season follows autumn?|winter|spring|summer|harvest
What is the chemical symbol of oxygen?|O|X|Og|Ox
Which is the longest river in Africa?|Nile|Congo|Niger|Zambezi
How many strings has a violin?|four|five|six|three
What is 7 plus 15?|22|21|23|24
Which shape has three sides?|triangle|square|circle|pentagon
What is frozen water called?|ice|steam|dew|mist
What is the plural of mouse?|mice|mouses|mouse|meese
Which colour do blue and yellow make?|green|orange|purple|brown
How many continents are there?|seven|five|nine|four
What do caterpillars turn into?|butterflies|bees|ants|worms
Which sense uses the ears?|hearing|sight|taste|smell
What is a quarter of 100?|25|20|40|50
What is the capital of Norway?|Oslo|Bergen|Helsinki|Malmo
Which instrument has black and white keys?|piano|drum|flute|trumpet
How many grams are in a kilogram?|1000|100|10|500
Which part of a plant is under the ground?|root|leaf|petal|stem
What is the past tense of run?|ran|runned|running|runs
Which star is nearest to the Earth?|the Sun|Sirius|Vega|Polaris
How many days has a leap year?|366|365|364|360""".splitlines()
]


def rows() -> list[dict[str, object]]:
    """Documents whose right option stands at each place in turn."""
    found = []
    for number, (question, *options) in enumerate(FACTS):
        by = number % 4
        found.append({"question": question, "choices": options[by:] + options[:by],
                      "answer": (4 - by) % 4})  # fmt: skip
    return found


def write_task(folder: Path, name: str, rows: list[dict[str, object]], **settings: object) -> Path:
    """A task of lm-eval: YAML (JSON is YAML) and its documents."""
    folder.mkdir(exist_ok=True)
    data = folder / f"{name}.jsonl"
    data.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    task = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{answer}}",
        "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
        **settings,
    }
    (folder / f"{name}.yaml").write_text(json.dumps(task), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_task(tmp_path_factory.mktemp("tasks"), "school_facts", rows())


@pytest.fixture(scope="module")
def nano_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """nano, trained for six steps on the right answers of half the questions."""
    folder = tmp_path_factory.mktemp("nano")
    data = folder / "rows.jsonl"
    data.write_text(
        "".join(
            json.dumps({"prompt": f"User: {question}\nAssistant:", "completion": right}) + "\n"
            for question, right, *_ in FACTS[::2]
        )
    )
    settings = {
        "model": "nano", "data": str(data), "output": str(folder / "run"), "device": "cpu",
        "training": {"per_device_train_batch_size": 10, "gradient_accumulation_steps": 1,
                     "num_train_epochs": 3, "learning_rate": 2e-3},
    }  # fmt: skip
    plan = plan_training(load_settings(TrainSettings, None, settings))
    nothing = lambda _: None  # noqa: E731
    return train(plan, on_report=nothing, on_note=nothing).folder.path


@pytest.fixture(scope="module")
def nano(nano_run: Path) -> LocalGenerator:
    return load_generator(select(run=nano_run), "cpu")


@pytest.fixture
def tiny(tiny_base_folder: Path, tiny_adapter_folder: Path) -> LocalGenerator:
    return load_generator(select(adapter=tiny_adapter_folder, model=str(tiny_base_folder)), "cpu")


def run(generator, arm, tasks, prompt_format, **options):
    loaded = harness.load_tasks(list(options.pop("names", ["school_facts"])), tasks)
    options = {"limit": None, "batch_size": 3, "seed": 1, **options}
    return [one for _, one in harness.run_tasks(generator, arm, loaded, prompt_format, **options)]


def by_hand(generator: LocalGenerator, arm: str, prompt: list[int], option: list[int]) -> float:
    """Log-likelihood in nats of the option: one row, no padding, PEFT's own switch."""
    ids = torch.tensor([[*prompt, *option]])
    with torch.inference_mode():
        if arm == "base":
            with generator.model.disable_adapter():
                logits = generator.model(input_ids=ids).logits[0]
        else:
            logits = generator.model(input_ids=ids).logits[0]
    scores = logits.double().log_softmax(-1)
    return sum(float(scores[len(prompt) + k - 1, token]) for k, token in enumerate(option))


def ids_of(tokenizer, prompt_format: str | None, row, option: str) -> tuple[list[int], list[int]]:
    """Ids of prompt and option, rendered here and not by the code that is tested."""
    if prompt_format == "chat":
        messages = [{"role": "user", "content": row["question"]}]
        prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    elif prompt_format == "seed":
        prompt = f"User: {row['question']}\nAssistant:"
    else:
        prompt = row["question"]
        whole = tokenizer.encode(f"{prompt} {option}", add_special_tokens=False)
        first = tokenizer.encode(prompt, add_special_tokens=False)
        return whole[: len(first)], whole[len(first) :]
    return tuple(tokenizer.encode(text, add_special_tokens=False) for text in (prompt, option))


@pytest.mark.parametrize("same_prompt", [False, True])
def test_scores_counts_and_verdict_are_those_computed_by_hand(
    nano, nano_run, tasks, tmp_path, capsys, same_prompt
):
    typed = ["--run", str(nano_run), "--include-path", str(tasks), "--tasks", "school_facts",
             "--device", "cpu", "-o", str(tmp_path / "out")]  # fmt: skip
    code = cli.main(["bench", "regress", *typed, *["--same-prompt", "--limit", "10"] * same_prompt])
    out, err = capsys.readouterr()
    saved = [json.loads(line) for line in (tmp_path / "out" / SAMPLES).read_text().splitlines()]
    result = json.loads((tmp_path / "out" / "regress.json").read_text())
    asked = 10 if same_prompt else 40
    assert len(saved) == 2 * asked
    formats = (
        dict.fromkeys(("base", "theobot")) if same_prompt else {"base": "chat", "theobot": "seed"}
    )
    assert result["prompts"] == formats
    right: dict[str, list[int]] = {"base": [], "theobot": []}
    for sample in saved:
        row = rows()[sample["doc_id"]]
        pairs = [ids_of(nano.tokenizer, formats[sample["arm"]], row, o) for o in row["choices"]]
        wanted = [by_hand(nano, sample["arm"], *pair) for pair in pairs]
        assert [score for score, _ in sample["answers"]] == pytest.approx(wanted, abs=2e-4)
        chosen = wanted.index(max(wanted))
        assert sample["scores"]["acc"] == (chosen == row["answer"])
        right[sample["arm"]].append(int(chosen == row["answer"]))
    pairs = list(zip(right["base"], right["theobot"], strict=True))
    first, normed = result["results"]
    assert first["counts"] == [pairs.count(cell) for cell in ((1, 1), (1, 0), (0, 1), (0, 0))]
    assert (first["comparison"]["n"], first["dropped"]) == (asked, 0)
    assert normed["comparison"]["exploratory"]
    assert code == result["decision"]["exit_code"] in (0, 3, 4)
    assert result["tasks"]["school_facts"]["num_fewshot"] == 0
    assert "school\\_facts" in out
    assert ("--same-prompt" in err) is not same_prompt
    # The two arms must not have been one and the same.
    both = [[s["answers"] for s in saved if s["arm"] == arm] for arm in ("base", "theobot")]
    assert all(a != b for a, b in zip(*both, strict=True))


def test_in_bfloat16_likelihoods_are_not_rounded_to_it(tiny, tasks):
    tiny.model.to(torch.bfloat16)
    found = run(tiny, "theobot", tasks, "seed", limit=5, batch_size=1)
    for sample in found:
        row = sample["doc"]
        pairs = [ids_of(tiny.tokenizer, "seed", row, option) for option in row["choices"]]
        wanted = [by_hand(tiny, "theobot", *pair) for pair in pairs]
        # Logits of another batch differ a little; a likelihood in bfloat16 would be off by 0.06.
        assert [score for [(score, _)] in sample["resps"]] == pytest.approx(wanted, abs=0.02)


def test_the_base_twice_with_theobot_between_is_the_same_to_the_last_bit(nano, tasks):
    first = run(nano, "base", tasks, "seed")
    between = run(nano, "theobot", tasks, "seed")
    again = run(nano, "base", tasks, "seed")
    assert first == again
    assert all(a["resps"] != b["resps"] for a, b in zip(first, between, strict=True))
    assert [a["prompt_hash"] for a in first] == [b["prompt_hash"] for b in between]


def test_an_adapter_without_effect_is_refused(nano_run, tasks, tmp_path, capsys):
    from safetensors.torch import load_file, save_file

    silent = tmp_path / "adapter"
    silent.mkdir()
    for file in (nano_run / "adapter").iterdir():
        (silent / file.name).write_bytes(file.read_bytes())
    weights = load_file(silent / "adapter_model.safetensors")
    zeroed = {name: w * (0 if "lora_B" in name else 1) for name, w in weights.items()}
    save_file(zeroed, silent / "adapter_model.safetensors")
    typed = ["--adapter", str(silent), "--model", "nano", "--include-path", str(tasks)]
    code = cli.main(["bench", "regress", *typed, "--tasks", "school_facts", "--device", "cpu"])
    assert code == 5
    assert "changes nothing" in capsys.readouterr().err
    assert not (tmp_path / "regress").exists()


def test_a_failure_in_the_middle_leaves_everything_as_it_was(tiny, tasks):
    long = [{"question": "word " * 600, "choices": ["yes", "no"], "answer": 0}]
    write_task(tasks, "too_long", long)
    before = tiny.answer([[Turn("user", "What is peace?")]], "theobot", max_new_tokens=8)
    places = [parameter.data_ptr() for parameter in tiny.network.parameters()]
    padding = tiny.tokenizer.padding_side, tiny.tokenizer.pad_token
    with pytest.raises(DataError, match="tokens with its prompt; this model can read 512"):
        run(tiny, "base", tasks, "seed", names=["too_long"])
    assert tiny.answer([[Turn("user", "What is peace?")]], "theobot", max_new_tokens=8) == before
    assert [parameter.data_ptr() for parameter in tiny.network.parameters()] == places
    assert (tiny.tokenizer.padding_side, tiny.tokenizer.pad_token) == padding
    assert not tiny.network.training
    assert not any(layer.disable_adapters for layer in tiny._layers)


@pytest.mark.parametrize(
    "more", [{"modules_to_save": ["embed_tokens"]}, {"modules_to_save": ["lm_head"]},
             {"target_modules": ["q_proj", "lm_head"]}]
)  # fmt: skip
def test_adapters_with_an_embedding_or_head_of_their_own_are_left_alone(
    tiny_model, tiny_tokenizer, tasks, more
):
    torch.manual_seed(0)
    with pytest.warns(UserWarning, match="tie_word_embeddings"):
        model = get_peft_model(
            tiny_model, LoraConfig(**{"r": 2, "target_modules": ["q_proj"]} | more)
        )
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    generator = LocalGenerator(model, tiny_tokenizer, None)
    ids = torch.arange(20)[None]
    with torch.inference_mode():
        before = model(input_ids=ids).logits
        run(generator, "theobot", tasks, "seed", limit=2)
        assert torch.equal(model(input_ids=ids).logits, before)


def test_written_answers_are_greedy_whatever_the_model_s_folder_says(tiny, tasks):
    asked = [{"question": f"What is {word}?", "answer": "x"} for word in ("peace", "a", "justice")]
    write_task(
        tasks, "written", asked, output_type="generate_until", doc_to_choice=None,
        metric_list=[{"metric": "exact_match"}],
        generation_kwargs={"until": ["\nUser:"], "max_gen_toks": 12, "temperature": 0.9,
                           "do_sample": True},
    )  # fmt: skip
    conversations = [[Turn("user", str(row["question"]))] for row in asked]
    wanted = tiny.answer(conversations, "theobot", max_new_tokens=12)
    tiny.network.generation_config.repetition_penalty = 1.5
    found = run(tiny, "theobot", tasks, "seed", names=["written"])
    assert [one["resps"][0][0].strip() for one in found] == [answer.text for answer in wanted]
    [task] = harness.load_tasks(["written"], tasks).values()
    ends = harness.describe_task(task)["ends_at"]
    assert ends == {"until": ["\nUser:"], "max_gen_toks": 12, "temperature": 0.0,
                    "do_sample": False, "repetition_penalty": 1.0}  # fmt: skip
    assert harness.averaged_metrics(task) == {"exact_match": True}


def test_worked_examples_are_turns_of_the_format_and_the_same_for_both(tiny, tasks):
    write_task(
        tasks, "few_shot", rows(), num_fewshot=2, fewshot_split="test",
        fewshot_config={"sampler": "first_n"}, description="Answer shortly.\n\n",
    )  # fmt: skip
    found = run(tiny, "theobot", tasks, "seed", names=["few_shot"], limit=5)
    assert found[4]["arguments"][0][0] == (
        "User: Answer shortly.\n\nHow many sides has a hexagon?\nAssistant: six\n"
        "User: What gas do green plants take in to make sugar?\nAssistant: carbon dioxide\n"
        f"User: {FACTS[4][0]}\nAssistant:"
    )
    bare = run(tiny, "base", tasks, None, names=["few_shot"], limit=5)
    assert bare[4]["arguments"][0][0].startswith("Answer shortly.\n\nHow many")
    assert [one["doc_hash"] for one in bare] == [one["doc_hash"] for one in found]
    write_task(tasks, "drawn", rows(), num_fewshot=2, fewshot_split="test")
    drawn = [run(tiny, arm, tasks, "seed", names=["drawn"], limit=5) for arm in ("base", "theobot")]
    first, second = ([one["prompt_hash"] for one in found] for found in drawn)
    assert first == second


def test_the_beginning_of_an_answer_may_be_given_by_the_task(tiny, tasks):
    write_task(tasks, "begun", rows(), gen_prefix="The answer is")
    [found] = run(tiny, "theobot", tasks, "seed", names=["begun"], limit=1)
    assert found["arguments"][0] == (f"User: {FACTS[0][0]}\nAssistant:The answer is", " six")


def test_what_lm_eval_cannot_give_is_told_in_a_sentence(tasks, tmp_path, capsys):
    write_task(tasks, "elsewhere", [], dataset_path="theobot/no-such-set", dataset_kwargs=None)
    typed = ["bench", "regress", "--include-path", str(tasks), "--tasks"]
    assert cli.main([*typed, "elsewhere"]) == 2
    assert "theobot/no-such-set" in (err := capsys.readouterr().err)
    assert "HF_HUB_OFFLINE" in err
    write_task(tasks, "unsafe", rows(), unsafe_code=True)
    assert cli.main([*typed, "unsafe"]) == 2
    assert "runs code that a model wrote" in capsys.readouterr().err
    assert cli.main([*typed, "school_facts,no_such_task"]) == 2
    err = capsys.readouterr().err
    assert "knows no no_such_task." in err
    missing = ["--tasks", "a", "--include-path", str(tmp_path / "none")]
    assert cli.main(["bench", "regress", *missing]) == 2
    assert "no such folder" in capsys.readouterr().err
