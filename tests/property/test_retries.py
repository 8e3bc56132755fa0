"""The waits between the tries of a request."""

from hypothesis import given
from hypothesis import strategies as st

from lading.adapters.web.retries import backoff

LONGEST = 60.0
failures = st.integers(1, 20)
first_waits = st.floats(0.001, 10)
retry_afters = st.floats(0, 1e9)


@given(failures, first_waits)
def test_a_wait_is_at_most_the_limit_that_doubles_with_each_failure(count: int, first_wait: float) -> None:
    assert 0 <= backoff(count, first_wait=first_wait) <= min(first_wait * 2 ** (count - 1), LONGEST)


@given(failures, first_waits, retry_afters)
def test_a_wait_is_no_less_than_the_server_asks_for_within_the_longest(
    count: int, first_wait: float, retry_after: float
) -> None:
    assert min(retry_after, LONGEST) <= backoff(count, first_wait=first_wait, retry_after=retry_after) <= LONGEST
