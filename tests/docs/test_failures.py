"""docs/failures.md: each row of its tables is proven by a test, and the tests are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from concurrence.wire import faults

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "failures.md").read_text("utf-8")
INTEGRATION, UNIT = TESTS / "integration", TESTS / "unit"
ROW = re.compile(r"^\| (?!when|---)(?P<when>.*?) \|", re.MULTILINE)

# What each row begins with, and which tests prove it: file and function, without "test_".
PROOFS: dict[str, list[str]] = {
    "raises": ["swarm_faults:each_failure_is_told_with_its_reason", "circuit:a_retry_goes_to_another_slave"],
    "runs longer": ["worker_ends:a_task_that_takes_too_long_cleans_up_and_its_neighbours_go_on"],
    "hangs": ["explaining:far_longer_than_others"],
    "kills its worker": [
        "swarm_faults:each_failure_is_told_with_its_reason",
        "core_losses:a_worker_that_dies_charges_only_the_task_that_ran",
        "circuit:a_task_that_killed_a_worker_goes_to_another_slave",
        "worker_limits:a_task_that_starts_too_many_processes_is_ended_with_them",
    ],
    "eats memory": ["worker_limits:a_task_that_eats_memory_is_blamed_with_the_figures"],
    "returns what": ["packing:an_unpicklable_result_is_named", "swarm_faults:what_is_too_large_fails_alone"],
    "is given": ["packing:what_cannot_be_pickled_is_named"],
    "needs a package": [
        "loading:another_version_of_a_package_names_both",
        "swarm_code:an_installed_package_is_used_where_it_is_and_missed_where_it_is_not",
    ],
    "starts processes": [
        "worker_ends:what_an_ended_task_had_started_ends_with_it",
        "workers:what_a_task_started_ends_with_its_worker",
    ],
    "asks for": [
        "swarm_clients:a_task_that_no_slave_can_run_waits_for_one_and_holds_up_no_other_client",
        "impossible:they_fail_with_what_is_needed_what_is_lacking_and_the_fix",
    ],
    "is cancelled": ["swarm_wild_tasks:cancelling_ends_what_runs_and_what_waits"],
    "a handler raises": ["swarm_clients:what_a_handler_raises_ends_the_run_with_its_traceback"],
    "a handler takes long": [
        "swarm_clients:a_slow_handler_does_not_make_the_client_look_dead",
        "backpressure:a_handler_that_takes_its_time_is_bounded_and_holds_up_nobody",
    ],
    "a handler pushes": ["swarm_clients:a_handler_that_pushes_without_end_is_told_the_cure"],
    "the application forgets": [
        "silence:an_application_that_forgets_to_end_is_told_so",
        "silence:inline_an_application_that_forgets_to_end_fails_with_the_reason",
    ],
    "a task system raises": ["swarm_systems:whatever_a_system_raises_reaches_the_client"],
    "the process of a task system": ["swarm_losses:a_killed_host_fails_its_system_with_the_reason"],
    "a slave is killed": [
        "swarm_losses:the_work_of_a_killed_slave_is_done_by_another",
        "core_losses:a_lost_slaves_chunks_run_elsewhere_uncharged_and_in_order",
    ],
    "a slave vanishes": [
        "faults_network:a_client_and_a_slave_that_vanish_without_a_word_are_given_up_by_the_lease",
        "faults_members:a_slave_that_is_stopped_and_goes_on_is_fenced",
    ],
    "a slave that was given up": ["swarm_losses:late_results_of_a_stopped_slave_count_for_nothing"],
    "everything fails": ["faults_members:a_slave_on_which_everything_fails_is_left_alone_until_it_is_mended"],
    "a slave's workers": ["faults_members:chunks_do_not_wait_for_workers_that_never_start"],
    "the client is killed": [
        "swarm_losses:the_tasks_of_a_killed_client_are_cancelled",
        "core_losses:a_bye_cancels_what_an_owner_has",
        "detached:a_killed_client_loses_what_is_not_detached_and_an_application_comes_back",
    ],
    "the client is stopped": ["faults_network:a_stopped_client_keeps_its_place_for_a_lease_and_no_longer"],
    "the master is killed": [
        "swarm_losses:a_new_master_without_a_journal_tells_exactly_what_is_lost",
        "swarm_losses:a_client_waits_for_a_new_master_and_goes_on",
        "faults_members:a_master_that_is_killed_and_started_again_gets_its_slaves_back",
    ],
    "the private master": ["swarm_losses:a_client_whose_private_master_is_killed_says_so"],
    "the private slave": ["swarm_losses:a_killed_private_slave_is_replaced"],
    "a second process": ["faults_members:clones_are_refused_and_both_sides_say_why"],
    "the node's parent": [
        "workers:kill_nine_leaves_no_process",
        "swarm_losses:a_killed_client_leaves_nothing_of_its_private_swarm",
    ],
    "a connection breaks": [
        "swarm_losses:a_slave_that_comes_back_keeps_its_work",
        "swarm_losses:a_client_that_comes_back_is_told_everything_once",
    ],
    "it is silent for less": ["faults_network:a_short_interruption_restarts_nothing"],
    "it is silent for longer": ["faults_network:a_partition_that_heals_costs_time_only"],
    "it is slow": [
        "slow_lines:messages_that_take_longer_than_the_lease_arrive_once",
        "faults_network:large_results_pass_a_thin_line",
    ],
    "a stranger": ["swarm_attacks:noise_and_silent_connections"],
    "the key": ["master_link:a_key_that_was_never_right", "transport:a_revoked_key"],
    "more nodes": ["faults_crowds:clients_beyond_the_open_files_are_refused_and_told_why"],
    "the disk under the log": ["faults_disk:a_full_disk_under_environment_and_log_stops_nothing"],
    "the disk under the temporary": ["faults_disk:a_full_disk_under_temporary_files_fails_who_writes_there_alone"],
    "client or slave speak": ["registry:another_protocol_is_refused_with_both_versions"],
    "client and slave run": ["loading:another_python_is_named"],
    "the config": ["reload:what_is_wrong_changes_nothing_and_is_told_once"],
}


def rows() -> list[str]:
    return [match["when"] for match in ROW.finditer(PAGE)]


@pytest.mark.parametrize("row", rows())
def test_a_row_is_proven(row: str) -> None:
    found = [proofs for begin, proofs in PROOFS.items() if row.startswith(begin)]
    assert len(found) == 1, f"exactly one entry of PROOFS is for {row!r}"
    lacking: list[str] = []
    for proof in found[0]:
        file, _, function = proof.partition(":")
        paths = [folder / f"test_{file}.py" for folder in (INTEGRATION, UNIT)]
        texts = [path.read_text("utf-8") for path in paths if path.exists()]
        lacking += [] if any(f"def test_{function}(" in text for text in texts) else [proof]
    assert not lacking


def test_every_proof_is_of_a_row() -> None:
    assert not [begin for begin in PROOFS if not any(row.startswith(begin) for row in rows())]


def test_every_kind_of_error_is_there() -> None:
    kinds = {value for name, value in vars(faults).items() if name.startswith("KIND_")}
    assert kinds == set(re.findall(r"kind `(\w+)`", PAGE)) | set(re.findall(r"kind `\w+` or `(\w+)`", PAGE))
