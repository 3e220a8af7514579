from __future__ import annotations

import os
import runpy
import signal
import threading
from pathlib import Path

import pytest

from theobot.data.prompt import Turn
from theobot.errors import InvalidRunError, ServerError, SettingsError
from theobot.generation.generator import Answer
from theobot.generation.remote import RemoteGenerator, Server, connect
from theobot.model.adapter import AdapterInfo

FAKES = runpy.run_path(str(Path(__file__).parents[2] / "fake_server.py"))
Reply, honest = FAKES["Reply"], FAKES["honest"]
chat, completion, models, prompt_of = (
    FAKES[name] for name in ("chat", "completion", "models", "prompt_of")
)

PINNED = {"temperature": 0.0, "top_p": 1.0, "frequency_penalty": 0.0, "presence_penalty": 0.0}
PENALTIES = ("repetition_penalty", "repeat_penalty")
NAMES = {"base": "base", "theobot": "theobot"}


@pytest.fixture
def seed_adapter(tmp_path: Path) -> AdapterInfo:
    """What is read of an adapter's folder when nothing of it is loaded."""
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"weights")
    return AdapterInfo(tmp_path, None, "seed", True, {})


def questions(count: int) -> list[list[Turn]]:
    return [[Turn("user", f"What is {number}?")] for number in range(count)]


def impatient(url: str, **options) -> Server:
    return Server(url, **{"patience": 0.0, **options})


def meet(server, *, formats=("chat", "chat"), sent=PINNED, **options) -> RemoteGenerator:
    """A generator without a handshake."""
    named = dict(zip(NAMES, formats, strict=True))
    return RemoteGenerator(impatient(server.url, **options), NAMES, named, sent)


def test_the_models_are_found_by_their_names(serve, seed_adapter: AdapterInfo):
    server = serve(honest)
    notes = []
    generator = connect(impatient(server.url), adapter=seed_adapter, on_note=notes.append)
    assert generator.names == NAMES
    assert generator.formats == {"base": "chat", "theobot": "seed"}
    assert [asked.path for asked in server.asked] == ["models", "chat/completions", "completions"]
    assert f'Server: {server.url}, base model "base", Theobot "theobot".' in notes[0]
    about = generator.describe()
    assert about["model"] == "base"
    assert about["adapter_sha256"] == seed_adapter.sha256()
    assert about["adapter_config_sha256"] == seed_adapter.config_sha256()
    assert about["decoding"] == {
        "method": "greedy",
        "context": "server",
        "server": server.url,
        "models": NAMES,
        "sent": {**PINNED, "repetition_penalty": 1.0, "repeat_penalty": 1.0},
        "stop_text_in_seed_format": "\nUser:",
    }


def test_without_an_adapter_both_are_asked_in_the_chat_format(serve):
    generator = connect(impatient(serve(honest).url))
    assert generator.formats == {"base": "chat", "theobot": "chat"}
    assert generator.describe()["adapter_sha256"] is None


def test_the_same_prompt_is_the_seeds_for_both(serve):
    server = serve(honest)
    generator = connect(impatient(server.url), NAMES, same_prompt=True)
    assert generator.formats == {"base": "seed", "theobot": "seed"}
    assert [asked.path for asked in server.asked] == ["completions", "completions"]


def test_names_that_the_server_lacks_are_told_with_those_it_has(serve):
    server = serve(lambda asked: Reply(models("qwen", "theobot")))
    with pytest.raises(SettingsError, match=r"it lists: qwen, theobot. Type --server-models"):
        connect(impatient(server.url))
    for odd in ([], {}, 3, None, [3], [{"name": "base"}]):
        server.behave = lambda asked, data=odd: Reply({"data": data})
        with pytest.raises(SettingsError, match="it lists: none"):
            connect(impatient(server.url))


def test_a_server_without_a_list_needs_names(serve):
    server = serve(lambda asked: Reply("", 404) if asked.path == "models" else honest(asked))
    with pytest.raises(
        ServerError, match=r"404: Not Found\. Name the models yourself: --server-mod"
    ):
        connect(impatient(server.url))
    assert connect(impatient(server.url), NAMES).names == NAMES


def test_equal_names_are_refused(serve):
    with pytest.raises(SettingsError, match='both names are "x"'):
        connect(impatient(serve(honest).url), {"base": "x", "theobot": "x"})


def test_an_unknown_model_is_told_in_the_servers_words(serve):
    def behave(asked):
        if asked.body["model"] == "typo":
            return Reply({"error": {"message": "The model `typo` does not exist."}}, 404)
        return honest(asked)

    server = serve(behave)
    with pytest.raises(ServerError, match=r'Model "typo": .*The model `typo` does not exist.'):
        connect(impatient(server.url), {"base": "base", "theobot": "typo"})


@pytest.mark.parametrize(
    "refused",
    [{"repetition_penalty"}, {"repeat_penalty"}, {"repetition_penalty", "repeat_penalty"}],
)
@pytest.mark.parametrize("status", [400, 422])
def test_fields_that_a_server_refuses_are_left_out(serve, refused, status):
    def behave(asked):
        found = set(refused) & set(asked.body)
        return Reply({"detail": f"Unexpected: {found}"}, status) if found else honest(asked)

    server = serve(behave)
    notes = []
    generator = connect(impatient(server.url), NAMES, on_note=notes.append)
    kept = set(PENALTIES) - set(refused)
    assert set(generator.sent) == {*PINNED, *kept}
    assert any("no penalty for repetitions" in note for note in notes) == (not kept)
    generator.answer(questions(1), "base", max_new_tokens=5)
    assert {**generator.sent, "max_tokens": 5}.items() <= server.asked[-1].body.items()
    assert not set(refused) & set(server.asked[-1].body)


def test_fields_that_only_one_model_takes_are_sent_to_neither(serve):
    def behave(asked):
        odd = asked.body["model"] == "theobot" and "repeat_penalty" in asked.body
        return Reply({"detail": "Unexpected"}, 422) if odd else honest(asked)

    sent = connect(impatient(serve(behave).url), NAMES).sent
    assert "repeat_penalty" not in sent
    assert sent["repetition_penalty"] == 1.0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
def test_a_refusal_for_another_reason_is_told(serve, status):
    server = serve(lambda asked: Reply({"error": "Not for you"}, status))
    with pytest.raises(ServerError, match=f"{status}: Not for you"):
        connect(impatient(server.url), NAMES)


def test_a_server_that_puts_raw_prompts_into_its_template_is_refused(serve, seed_adapter):
    def behave(asked):
        reply = honest(asked)
        if asked.path == "completions":
            reply.body["usage"]["prompt_tokens"] = 9
        return reply

    with pytest.raises(ServerError, match="chat template"):
        connect(impatient(serve(behave).url), NAMES, adapter=seed_adapter)


def test_a_server_that_knows_no_limit_is_refused(serve):
    def behave(asked):
        reply = honest(asked)
        reply.body["usage"]["completion_tokens"] = 20
        return reply

    with pytest.raises(ServerError, match="wrote 20 tokens where 1 was the most"):
        connect(impatient(serve(behave).url), NAMES)


def test_answers_keep_their_order_and_so_many_are_asked_at_a_time(serve):
    together = threading.Barrier(3, timeout=60)

    def behave(asked):
        together.wait()
        return Reply(chat(f"{asked.body['model']}: {prompt_of(asked)} {asked.body['max_tokens']}"))

    server = serve(behave)
    generator = meet(server, concurrency=3)
    pairs = generator.answer_pairs(
        questions(6), formats={"base": "chat", "theobot": "chat"}, max_new_tokens=list(range(1, 7))
    )
    assert [(pair["base"].text, pair["theobot"].text) for pair in pairs] == [
        (f"base: What is {n}? {n + 1}", f"theobot: What is {n}? {n + 1}") for n in range(6)
    ]
    assert server.most_at_once == 3


def test_an_error_takes_back_what_was_not_sent(serve):
    done = threading.Event()

    def behave(asked):
        if prompt_of(asked) == "What is 1?":
            return Reply({"error": "too long"}, 400)
        done.wait(60)
        return Reply(chat("late"))

    server = serve(behave)
    with pytest.raises(ServerError, match="too long"):
        meet(server, concurrency=2).answer(questions(20), "base", max_new_tokens=5)
    assert len(server.asked) == 2
    done.set()


def test_ctrl_c_takes_back_what_was_not_sent(serve):
    done = threading.Event()

    def behave(asked):
        if prompt_of(asked) == "What is 1?":
            os.kill(os.getpid(), signal.SIGINT)
        done.wait(60)
        return Reply(chat("late"))

    server = serve(behave)
    with pytest.raises(KeyboardInterrupt):
        meet(server, concurrency=2).answer(questions(20), "base", max_new_tokens=5)
    assert len(server.asked) == 2
    done.set()


@pytest.mark.parametrize(
    "reply",
    [
        Reply(chat(None)),
        Reply({"choices": []}),
        Reply(chat("x", "content_filter")),
        Reply("<html>"),
        Reply(chat("x", reasoning_content="Let me think")),
    ],
)
def test_what_is_no_answer_is_never_taken_for_one(serve, reply):
    server = serve(lambda asked: reply)
    with pytest.raises(ServerError, match=f"{server.url}/chat/completions: "):
        meet(server).answer(questions(1), "base", max_new_tokens=5)


def test_one_that_fails_first_is_asked_again_in_its_place(serve):
    failed = set()

    def behave(asked):
        if prompt_of(asked) in failed:
            return honest(asked)
        failed.add(prompt_of(asked))
        return None if len(failed) % 2 else Reply("", 503)

    server = serve(behave)
    answers = meet(server, patience=60.0).answer(questions(4), "base", max_new_tokens=5)
    server.behave = honest
    assert answers == meet(server).answer(questions(4), "base", max_new_tokens=5)


def test_an_answer_is_streamed_whole(serve):
    server = serve(lambda asked: Reply(chat("Peace. ")))
    parts = list(meet(server).stream(questions(1)[0], "base", 5))
    assert parts == ["Peace.", Answer("Peace.", "eos", 1)]
    server.behave = lambda asked: Reply(chat(""))
    assert list(meet(server).stream(questions(1)[0], "base", 5)) == [Answer("", "eos", 0)]


def test_tokens_are_counted_by_the_server(serve):
    counted = {"usage": {"prompt_tokens": 17}, "choices": []}
    server = serve(lambda asked: Reply(counted))
    assert meet(server).count_tokens(questions(1)[0], "base") == 17
    server.behave = lambda asked: Reply({"choices": []})
    with pytest.raises(ServerError, match="does not count"):
        meet(server).count_tokens(questions(1)[0], "base")


def test_a_prompt_is_shown_as_it_is_sent(serve):
    generator = meet(serve(honest), formats=("chat", "seed"))
    turns = [Turn("user", "Why é?")]
    assert generator.render(turns, "theobot") == "User: Why é?\nAssistant:"
    assert generator.render(turns, "base") == '[{"role": "user", "content": "Why é?"}]'


def test_models_that_differ_have_an_effect_of_unknown_size(serve):
    server = serve(honest)
    assert meet(server, formats=("chat", "seed")).adapter_effect(questions(3)) is None
    assert [asked.path for asked in server.asked] == ["completions"] * 6


def test_one_model_under_two_names_is_an_invalid_run(serve):
    server = serve(lambda asked: Reply(completion(f"On {prompt_of(asked)}")))
    with pytest.raises(InvalidRunError, match='"base" and "theobot" answered 3 prompts alike'):
        meet(server, formats=("chat", "seed")).adapter_effect(questions(3))
