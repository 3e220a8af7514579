"""When training stops before its last step."""

import pytest
from transformers import TrainerState

from theobot.training.stopping import early_stop_reason, evaluations_since_best


@pytest.mark.parametrize(
    ("losses", "count"),
    [([], 0), ([2.0], 0), ([2.0, 1.0], 0), ([1.0, 2.0, 1.5], 2), ([1.0, 1.0], 1), ([3, 1, 2], 1)],
)
def test_evaluations_since_the_first_lowest_loss(losses, count):
    assert evaluations_since_best(losses) == count


def state(*losses: float, step: int = 5) -> TrainerState:
    log = [{"loss": 9.0}, *({"eval_loss": loss} for loss in losses)]
    return TrainerState(global_step=step, max_steps=10, log_history=log)


def test_the_reason_names_the_patience_and_the_last_step_is_no_early_stop():
    assert early_stop_reason(state(1.0, 2.0), 2) is None
    assert early_stop_reason(state(1.0, 2.0, 1.1), 0) is None
    assert "in 2 evaluations in a row" in str(early_stop_reason(state(1.0, 2.0, 1.1), 2))
    assert early_stop_reason(state(1.0, 2.0, 1.1, step=10), 2) is None
