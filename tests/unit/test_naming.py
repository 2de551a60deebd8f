"""What people type to name jobs, tasks and slaves."""

from __future__ import annotations

import pytest
from swarm_story import Master

from concurrence.errors import NotFound, UsageError
from concurrence.scheduling.naming import Target, find_slave, find_target, short_ids

A, B, C = 0x0C8D2A41_00000001, 0x0C8D2A41_0F000002, 0x0C8E0000_00000003
JOBS = {A: "", B: "primes", C: "primes"}


class TestShortIds:
    def test_as_many_digits_as_it_takes_and_eight_at_least(self) -> None:
        assert short_ids([A, B, C]) == {A: "0c8d2a4100", B: "0c8d2a410f", C: "0c8e0000"}
        assert short_ids([A]) == {A: "0c8d2a41"}
        assert short_ids([]) == {}

    def test_what_is_shown_is_understood(self) -> None:
        for system, short in short_ids(JOBS).items():
            assert find_target(short, JOBS) == Target(system, None)


class TestTargets:
    @pytest.mark.parametrize("text", [f"{A:016x}", "0c8d2a4100", "0C8D2A4100", " 0x0c8d2a4100 "])
    def test_a_job(self, text: str) -> None:
        assert find_target(text, JOBS) == Target(A, None)

    @pytest.mark.parametrize("text", ["0c8e/42", "0c8e-42", f"{C:016x}/42"])
    def test_a_task(self, text: str) -> None:
        assert find_target(text, JOBS) == Target(C, 42)

    def test_a_name_that_one_job_has(self) -> None:
        assert find_target("primes", {A: "", B: "primes"}) == Target(B, None)
        assert find_target("primes/3", {A: "", B: "primes"}) == Target(B, 3)
        assert find_target("prime-numbers", {A: "", B: "prime-numbers"}) == Target(B, None)

    @pytest.mark.parametrize("text", ["0c8", "0c8d2a41", "primes"])
    def test_what_fits_several_names_them(self, text: str) -> None:
        with pytest.raises(UsageError, match=r"fits [23] jobs: 0c8d2a41.*, 0c8") as caught:
            find_target(text, JOBS)
        assert "more digits" in caught.value.hint

    @pytest.mark.parametrize("text", ["ff", "", "/", "-", "nothing", "ff/3"])
    def test_what_fits_none_names_those_there_are(self, text: str) -> None:
        with pytest.raises((NotFound, UsageError), match=r"there is no job|comes its number"):
            find_target(text, JOBS)
        with pytest.raises(NotFound) as caught:
            find_target("ff", JOBS)
        assert caught.value.exit_code == 1
        assert "0c8d2a4100" in caught.value.hint
        with pytest.raises(NotFound) as caught:
            find_target("ff", {})
        assert "No job" in caught.value.hint

    @pytest.mark.parametrize("text", ["0c8e/x", "0c8e/", "0c8e/-1", "0c8e/1.5", "0c8e/²"])
    def test_a_number_that_is_none(self, text: str) -> None:
        with pytest.raises(UsageError, match="comes its number"):
            find_target(text, JOBS)


class TestSlaves:
    def test_by_name_and_by_the_first_digits_of_the_id(self) -> None:
        master = Master()
        master.slave("aa01", name="attic")
        master.slave("aa02", name="cellar")
        registry = master.core.swarm.registry
        assert find_slave("attic", registry).id == "aa01"
        assert find_slave("aa02", registry).name == "cellar"
        assert find_slave("AA02", registry).name == "cellar"
        with pytest.raises(UsageError, match=r"beginning of 2 slaves' ids: aa01, aa02"):
            find_slave("aa", registry)
        with pytest.raises(NotFound, match="no slave 'atic'") as caught:
            find_slave("atic", registry)
        assert caught.value.hint == "Did you mean attic?"
        with pytest.raises(NotFound):
            find_slave("", registry)

    def test_without_any(self) -> None:
        with pytest.raises(NotFound) as caught:
            find_slave("attic", Master().core.swarm.registry)
        assert caught.value.hint == "No slave is connected."
