"""Names of runs and members, and the files that bear them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_store_h5.errors import StoreError
from ser_store_h5.names import (
    MAX_STEP,
    check_run_name,
    format_member,
    member_file,
    parse_member,
    parse_member_file,
)

steps = st.integers(0, MAX_STEP)
run_names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
unharmed = settings(max_examples=100)


@pytest.mark.parametrize("run", ["a", "xlsr53", "X.y-z_0", "0", "a" * 100, "console", "aux1", "com10", "lpt"])
def test_a_run_name_of_plain_characters_is_taken_as_it_is(run: str) -> None:
    assert check_run_name(run) == run


@pytest.mark.parametrize(
    "run",
    [
        *("", ".", "..", "../up", "/etc", "a/b", "a\\b", "C:", "a\0b", ".hidden", "-x", "_x", "a.", "a b", "ä", "a\n"),
        *("a" * 101, "con", "NUL", "aux.txt", "Com1", "lpt9.h5", "prn.", "a@1", "~", "$x", "٣"),
    ],
)
def test_a_run_name_that_no_folder_could_bear_everywhere_is_refused_with_the_rule(run: str) -> None:
    with pytest.raises(StoreError, match=r"^run name .*: expected 1 to 100 letters, digits"):
        check_run_name(run)


@given(run_names, steps)
@unharmed
def test_a_member_name_is_read_back_as_it_was_formed(run: str, step: int) -> None:
    try:
        check_run_name(run)
    except StoreError:
        return
    assert parse_member(format_member(run, step)) == (run, step)


def test_a_run_alone_has_no_step() -> None:
    assert parse_member("xlsr53") == ("xlsr53", None)


@pytest.mark.parametrize(
    "name",
    ["a@", "a@-1", "a@1.5", "a@x", "a@1@2", "a@ 1", "a@٣", "a@+1", "a@1_0", f"a@{MAX_STEP + 1}", "a@" + "9" * 5000],
)
def test_a_step_that_is_no_number_in_range_is_refused_with_an_example(name: str) -> None:
    with pytest.raises(StoreError, match=r"^member name .*: expected run@step with a step of 0 to 9+, as xlsr53@1100$"):
        parse_member(name)


@given(steps)
@unharmed
def test_a_member_file_is_read_back_to_its_step(step: int) -> None:
    assert parse_member_file(member_file(step)) == step


@given(st.lists(st.integers(0, 999_999), min_size=2))
@unharmed
def test_files_of_less_than_a_million_steps_sort_as_the_steps_do(several: list[int]) -> None:
    assert [member_file(step) for step in sorted(several)] == sorted(member_file(step) for step in several)


@pytest.mark.parametrize(
    "file_name",
    [
        *("step-1.h5", "step-0000001.h5", "step-000001.hdf5", "step--00001.h5", "step-000001.h5 ", "run.json"),
        *(".step-000001.h5.ab.partial", "step-00000x.h5", "step-٠٠٠٠٠١.h5", "step-1000000000000.h5", ""),
    ],
)
def test_any_other_file_is_no_member(file_name: str) -> None:
    assert parse_member_file(file_name) is None
