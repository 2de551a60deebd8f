"""A part of the tests of swarms once more, on plain TCP; ``ci/full`` runs all of them on it."""

from __future__ import annotations

import pytest
from test_policies import expected, test_a_private_swarm_draws_the_picture
from test_policies import (
    test_a_killed_worker_is_replaced_and_its_task_runs_again as test_aimed_work_of_a_killed_worker_runs_again,
)
from test_swarm_faults import test_large_arrays_travel_there_and_back, test_what_is_too_large_fails_alone
from test_swarm_losses import (
    test_a_client_waits_for_a_new_master_and_goes_on,
    test_a_slave_that_comes_back_keeps_its_work,
    test_the_work_of_a_killed_slave_is_done_by_another,
)
from test_swarm_samples import test_a_standalone_master_is_its_own_slave
from test_swarm_security import test_a_key_serves_its_own_role_only, transport
from test_swarm_systems import test_a_generator_is_drained_only_as_room_comes

pytestmark = pytest.mark.sampled

# Imported to be collected here.
__all__ = [
    "expected",
    "test_a_client_waits_for_a_new_master_and_goes_on",
    "test_a_generator_is_drained_only_as_room_comes",
    "test_a_key_serves_its_own_role_only",
    "test_a_private_swarm_draws_the_picture",
    "test_a_slave_that_comes_back_keeps_its_work",
    "test_a_standalone_master_is_its_own_slave",
    "test_aimed_work_of_a_killed_worker_runs_again",
    "test_large_arrays_travel_there_and_back",
    "test_the_work_of_a_killed_slave_is_done_by_another",
    "test_what_is_too_large_fails_alone",
    "transport",
]


@pytest.fixture
def swarm_transport() -> str:
    return "TCPTransport"
