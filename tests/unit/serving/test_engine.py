"""The thread behind the endpoint: who gets what, and what happens when something goes wrong."""

from __future__ import annotations

import asyncio
import threading

import pytest

from theobot.data.prompt import Turn
from theobot.errors import ModelError, PromptError
from theobot.generation.scripted import ScriptedBatch, ScriptedGenerator
from theobot.serving.engine import (
    Begun,
    Done,
    Engine,
    Failed,
    Piece,
    QueueFullError,
    StoppingError,
    Work,
)


def work(question: str = "Why?", arm: str = "theobot", most: int = 50, stops=()) -> Work:
    return Work([Turn("user", question)], arm, most, stops)


async def follow(ticket) -> tuple[str, object]:
    """The whole text, and how it ended."""
    text = ""
    while True:
        event = await asyncio.wait_for(ticket.next(), 20)
        if isinstance(event, Piece):
            text += event.text
        if isinstance(event, Done | Failed):
            return text, event


def with_engine(generator, body, **options):
    """Run a coroutine function with a started engine; closes it."""
    engine = Engine(generator, **options)
    engine.start()
    try:
        return asyncio.run(body(engine))
    finally:
        engine.close()
        assert engine.open == 0 or engine.cut_off


def test_an_answer_begins_comes_in_pieces_and_ends():
    async def body(engine):
        ticket = engine.submit(work())
        assert await ticket.next() == Begun(3)
        return await follow(ticket)

    generator = ScriptedGenerator({"Why?": "Because it is."})
    assert with_engine(generator, body) == ("Because it is.", Done("stop", 4))


def test_a_hundred_readers_get_their_own_answers():
    async def body(engine):
        asked = [
            work(f"Question {n}?", "base" if n % 2 else "theobot", most=3 + n % 9)
            for n in range(100)
        ]
        found = await asyncio.gather(*[follow(engine.submit(one)) for one in asked])
        return list(zip(asked, found, strict=True))

    generator = ScriptedGenerator(lambda q, arm: f"{arm}: {q} " + "and so on " * 3)
    for asked, (text, done) in with_engine(generator, body, most_rows=8):
        alone = generator.answer([asked.prompt], asked.arm, max_new_tokens=asked.max_new_tokens)[0]
        assert text == alone.text
        assert done == Done("length" if alone.stop_reason == "length" else "stop", alone.new_tokens)


def test_a_newcomer_does_not_wait_for_a_long_answer(gated):
    async def body(engine):
        slow = engine.submit(work("long " * 500, most=1000))
        gated.let(3)
        quick = engine.submit(work("short"))
        gated.let(9)
        text, _ = await follow(quick)
        assert slow.at_once() == Begun(501 + 1)
        slow.cancel()
        gated.let(2)
        return text

    assert with_engine(gated, body) == "theobot on short"


def test_a_stop_text_ends_the_answer_and_frees_its_row(gated):
    gated.script = lambda question, arm: "one two STOP three " * 100

    async def body(engine):
        ticket = engine.submit(work(most=400, stops=["STOP"]))
        gated.let(3)
        found = await follow(ticket)
        other = engine.submit(work("other", most=1))
        gated.let(1)
        await follow(other)
        assert len(gated.batch) == 0
        return found

    assert with_engine(gated, body) == ("one two ", Done("stop", 3))


def test_a_stop_text_in_the_last_piece_counts_as_a_stop():
    async def body(engine):
        return await follow(engine.submit(work(most=2, stops=["."])))

    generator = ScriptedGenerator(lambda question, arm: "It is. And more")
    assert with_engine(generator, body) == ("It is", Done("stop", 2))


def test_a_full_queue_refuses_and_takes_again_later(gated):
    async def body(engine):
        tickets = [engine.submit(work(most=1)) for _ in range(5)]
        with pytest.raises(QueueFullError):
            engine.submit(work())
        gated.let(20)
        await asyncio.gather(*[follow(ticket) for ticket in tickets])
        return await follow(engine.submit(work("again")))

    assert with_engine(gated, body, most_rows=2, most_waiting=3)[0] == "theobot on again"


def test_cancelled_answers_leave_the_batch_and_make_room(gated):
    async def body(engine):
        tickets = [engine.submit(work("x " * 100, most=200)) for _ in range(4)]
        with pytest.raises(QueueFullError):
            engine.submit(work())
        for ticket in tickets:
            ticket.cancel()
            ticket.cancel()
        assert engine.open == 0
        last = engine.submit(work("still there"))
        gated.let(20)
        return await follow(last)

    assert with_engine(gated, body, most_rows=1, most_waiting=3)[0] == "theobot on still there"


@pytest.mark.parametrize(
    ("length", "match"), [(90, "80 are read at most"), (5000, "4096 are the most")]
)
def test_a_prompt_that_does_not_fit_fails_alone(length, match):
    async def body(engine):
        long, short = engine.submit(work("x " * length)), engine.submit(work("short"))
        _, failed = await follow(long)
        assert failed.reason == "too_long"
        assert match in failed.message
        return await follow(short)

    generator = ScriptedGenerator(lambda question, arm: "fine")
    assert with_engine(generator, body, most_prompt=80)[0] == "fine"


def test_a_prompt_that_the_models_template_refuses_fails_alone():
    def script(question: str, arm: str) -> str:
        if question == "Refused?":
            raise PromptError("The model's chat template refuses this conversation.")
        return "Peace."

    async def body(engine):
        refused, other = engine.submit(work("Refused?")), engine.submit(work())
        failed = await refused.next()
        assert failed == Failed("prompt", "The model's chat template refuses this conversation.")
        assert (await follow(other))[0] == "Peace."

    with_engine(ScriptedGenerator(script), body)


def test_a_fault_in_one_request_hurts_nobody_else(caplog):
    def script(question: str, arm: str) -> str:
        if question == "bad":
            raise ZeroDivisionError("a fault of ours")
        return "fine"

    async def body(engine):
        bad, good = engine.submit(work("bad")), engine.submit(work("good"))
        _, failed = await follow(bad)
        assert failed.reason == "bug"
        assert "fault of ours" not in failed.message
        return await follow(good)

    assert with_engine(ScriptedGenerator(script), body)[0] == "fine"
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("error", "reason"), [(ModelError("The model computed NaN."), "model"), (KeyError(7), "bug")]
)
def test_when_the_model_fails_its_readers_are_told_and_the_next_get_a_fresh_batch(error, reason):
    class Failing(ScriptedGenerator):
        batches = 0

        def live_batch(self, most_rows):
            Failing.batches += 1
            first = Failing.batches == 1

            class Batch(ScriptedBatch):
                def step(self):
                    if first:
                        raise error
                    return super().step()

            return Batch(self, most_rows)

    async def body(engine):
        for _, failed in await asyncio.gather(*[follow(engine.submit(work())) for _ in range(3)]):
            assert failed.reason == reason
        return await follow(engine.submit(work("next")))

    generator = Failing(lambda question, arm: f"on {question}")
    assert with_engine(generator, body)[0] == "on next"
    assert Failing.batches >= 2


def test_closing_lets_answers_end_and_takes_no_more(gated):
    engine = Engine(gated)
    engine.start()

    async def body():
        ticket = engine.submit(work())
        closing = threading.Thread(target=engine.close, args=(30.0,))
        closing.start()
        while engine.alive:
            await asyncio.sleep(0)
        with pytest.raises(StoppingError):
            engine.submit(work())
        gated.let(20)
        found = await follow(ticket)
        await asyncio.to_thread(closing.join)
        return found

    assert asyncio.run(body())[0] == "theobot on Why?"
    assert engine.cut_off == 0


def test_closing_cuts_off_what_takes_too_long(gated):
    engine = Engine(gated)
    engine.start()

    async def body():
        tickets = [engine.submit(work("x " * 99, most=100)) for _ in range(3)]
        await tickets[0].next()
        gated.let(1)
        closing = asyncio.create_task(asyncio.to_thread(engine.close))
        while engine.alive:
            await asyncio.sleep(0)
        gated.let(1)
        ends = [end for _, end in [await follow(ticket) for ticket in tickets]]
        assert await closing == 3
        return ends

    assert [end.reason for end in asyncio.run(body())] == ["stopping"] * 3


def test_readers_whose_loop_is_gone_do_not_matter(gated):
    engine = Engine(gated)
    engine.start()

    async def leave():
        engine.submit(work())

    asyncio.run(leave())
    gated.let(20)

    async def body():
        return await follow(engine.submit(work("later")))

    assert asyncio.run(body())[0] == "theobot on later"
    engine.close()


def test_nobody_is_forgotten_when_dropping_fails(gated):
    class Brittle(ScriptedGenerator):
        def live_batch(self, most_rows):
            class Batch(ScriptedBatch):
                def drop(self, keys):
                    if keys:
                        raise ModelError("no more memory")

                def step(self):
                    gated.steps.acquire()
                    return super().step()

            return Batch(self, most_rows)

    async def body(engine):
        first, second = engine.submit(work("x " * 50)), engine.submit(work())
        await first.next()
        first.cancel()
        third = engine.submit(work())
        gated.let(1)
        return [await follow(ticket) for ticket in (second, third)]

    found = with_engine(Brittle(lambda question, arm: "one two three"), body)
    assert [end.reason for _, end in found] == ["model", "model"]
