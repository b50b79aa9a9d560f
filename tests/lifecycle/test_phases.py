from __future__ import annotations

import itertools
import logging

import pytest

from lifecycle.phases import Phase, PhaseMachine, PhaseTransitionError

# The edges of the drawing in the contract, and the way out of each phase.
ALLOWED = {
    ("starting", "warming"),
    ("starting", "stopped"),
    ("warming", "standby"),
    ("warming", "stopped"),
    ("standby", "ready"),
    ("standby", "draining"),
    ("standby", "stopped"),
    ("ready", "standby"),
    ("ready", "draining"),
    ("ready", "stopped"),
    ("draining", "stopped"),
}
WAY_TO = {
    "starting": [],
    "warming": ["warming"],
    "standby": ["warming", "standby"],
    "ready": ["warming", "standby", "ready"],
    "draining": ["warming", "standby", "draining"],
    "stopped": ["stopped"],
}
PAIRS = list(itertools.product([phase.value for phase in Phase], repeat=2))


def machine_in(phase: str) -> PhaseMachine:
    machine = PhaseMachine()
    for step in WAY_TO[phase]:
        machine.transition(Phase(step))
    return machine


@pytest.mark.parametrize(("was", "to"), [pair for pair in PAIRS if pair in ALLOWED])
def test_a_step_of_the_table_is_taken(was: str, to: str) -> None:
    machine = machine_in(was)
    machine.transition(Phase(to))
    assert machine.phase is Phase(to)


@pytest.mark.parametrize(("was", "to"), [pair for pair in PAIRS if pair not in ALLOWED])
def test_a_step_that_the_table_lacks_is_refused_and_changes_nothing(
    was: str, to: str
) -> None:
    machine = machine_in(was)
    with pytest.raises(
        PhaseTransitionError, match=f"^An instance cannot go from {was} to {to}.$"
    ):
        machine.transition(Phase(to))
    assert machine.phase is Phase(was)


def test_a_transition_logs_one_line_with_durations(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [100.0]
    machine = PhaseMachine(clock=lambda: now[0])
    now[0] = 102.5
    with caplog.at_level(logging.INFO, logger="lifecycle.phases"):
        machine.transition(Phase.WARMING, instance="ab12")
        now[0] = 103.0
        assert machine.seconds == 0.5
        machine.transition(Phase.STANDBY)
    assert caplog.messages == [
        "event=phase phase=warming was=starting was_seconds=2.500 total_seconds=2.500"
        " instance=ab12",
        "event=phase phase=standby was=warming was_seconds=0.500 total_seconds=3.000",
    ]


def test_a_phase_is_announced_before_anybody_sees_it() -> None:
    seen: list[tuple[Phase, Phase]] = []

    def announce(phase: Phase) -> None:
        seen.append((phase, machine.phase if seen else phase))

    machine = PhaseMachine(announce=announce)
    machine.transition(Phase.WARMING)
    assert seen == [
        (Phase.STARTING, Phase.STARTING),
        (Phase.WARMING, Phase.STARTING),
    ]


def test_a_signal_handler_may_step_to_the_end_while_a_step_is_being_taken() -> None:
    """Else a SIGTERM in that moment of the start would block its process for ever."""
    steps: list[Phase] = []

    def announce(phase: Phase) -> None:
        steps.append(phase)
        if phase is Phase.WARMING:
            machine.transition(Phase.STOPPED)

    machine = PhaseMachine(announce=announce)
    machine.transition(Phase.WARMING)
    assert steps == [Phase.STARTING, Phase.WARMING, Phase.STOPPED]
