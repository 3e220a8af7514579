from __future__ import annotations

import json

import pytest

from theobot.serving.refusals import RefusalError


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (404, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "server_error"),
        (503, "server_error"),
    ],
)
def test_a_refusal_says_what_kind_it_is(status, kind):
    answer = RefusalError(status, "No.", param="p", code="c").response()
    assert answer.status_code == status
    assert json.loads(answer.body) == {
        "error": {"message": "No.", "type": kind, "param": "p", "code": "c"}
    }
    assert ("WWW-Authenticate" in answer.headers) is (status == 401)
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_refusal_says_when_to_come_again():
    assert RefusalError(429, "No.", retry_after=7).response().headers["Retry-After"] == "7"
