from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import FrameType

import pytest
from torch import Tensor

from crosslight.data.batch import Batch
from crosslight.data.table import SampleTable
from crosslight.methods.contract import Method, Update
from crosslight.training.interruption import Interruption, StopNow, TrainingInterrupted
from crosslight.training.loop import fit
from tests.training.people import draw_people
from tests.training.states import assert_same_state, lines, state, untimed
from tests.training.tiny import Tiny, build, mean_feature, open_run, recipe


class Interrupted(Tiny):
    at: Mapping[int, list[signal.Signals]]

    def training_step(self, batch: Batch, update: Update) -> Mapping[str, Tensor]:
        for number in self.at.get(len(self.seen), []):
            signal.raise_signal(number)
        return super().training_step(batch, update)


def interrupted(table: SampleTable, at: Mapping[int, list[signal.Signals]]) -> Interrupted:
    method = Interrupted(recipe().config, num_ids=5, height=16, width=8)
    method.load_state_dict(build(recipe(), table).state_dict())
    method.at = at
    return method


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_finishes_the_iteration_saves_and_says_how_to_continue(
    request: pytest.FixtureRequest,
    table: SampleTable,
    tmp_path: Path,
    number: signal.Signals,
    code: int,
) -> None:
    heard = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored where tests run below nohup
    request.addfinalizer(lambda: signal.signal(signal.SIGHUP, before))
    handlers = [signal.getsignal(n) for n in heard]
    config = recipe(checkpoint_every=0)
    run = open_run(tmp_path / "run", config, table)
    method = interrupted(table, {8: [number]})
    expected = r"saved at iteration 6 of stage joint in .*run; run the same command again"
    with pytest.raises(TrainingInterrupted, match=expected) as caught:
        fit(table, config, run, method=method, progress=False)
    assert caught.value.exit_code == code
    assert [signal.getsignal(n) for n in heard] == handlers
    fit(table, config, run, method=build(config, table), progress=False)
    plain = open_run(tmp_path / "plain", config, table)
    fit(table, config, plain, method=build(config, table), progress=False)
    assert_same_state(state(plain.path), state(run.path))
    assert untimed(plain.path) == untimed(run.path)


def test_below_nohup_a_closed_terminal_is_nothing_to_stop_for(
    request: pytest.FixtureRequest, table: SampleTable, tmp_path: Path
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    request.addfinalizer(lambda: signal.signal(signal.SIGHUP, before))
    run = open_run(tmp_path, recipe(), table)
    summary = fit(
        table, recipe(), run, method=interrupted(table, {8: [signal.SIGHUP]}), progress=False
    )
    assert summary.iterations > 8
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


@pytest.mark.parametrize("workers", [0, 1])
def test_a_signal_is_obeyed_while_a_batch_does_not_come(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    workers: int,
) -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # of one that comes after the training
    request.addfinalizer(lambda: signal.signal(signal.SIGTERM, before))
    table = draw_people(tmp_path / "people")
    stuck = table.paths[0]
    stuck.unlink()
    os.mkfifo(stuck)  # whoever reads it waits until somebody writes
    writing: list[int] = []
    heard = threading.Event()
    note = Interruption._note

    def hear(interruption: Interruption, number: int, frame: FrameType | None) -> None:
        heard.set()
        note(interruption, number, frame)

    monkeypatch.setattr(Interruption, "_note", hear)

    def stop_when_read() -> None:
        writing.append(os.open(stuck, os.O_WRONLY))
        while not heard.is_set():  # a read that begins just after a signal is woken by the next
            os.kill(os.getpid(), signal.SIGTERM)
            os.sched_yield()

    stopping = threading.Thread(target=stop_when_read, daemon=True)
    stopping.start()
    config = recipe(checkpoint_every=0)
    config = replace(config, data=replace(config.data, workers=workers))
    run = open_run(tmp_path / "run", config, table)
    with pytest.raises(TrainingInterrupted, match="saved at iteration"):
        fit(table, config, run, method=build(config, table), progress=False)
    stopping.join()
    os.close(writing[0])
    assert state(run.path)["method"]


def test_a_second_ctrl_c_leaves_at_once(table: SampleTable, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)  # ignored where tests run in the background
    run = open_run(tmp_path, recipe(), table)
    method = interrupted(table, {9: [signal.SIGINT, signal.SIGINT]})
    with pytest.raises(KeyboardInterrupt):
        fit(table, recipe(), run, method=method, progress=False)
    assert state(tmp_path)["position"]["iteration"] == 5
    assert signal.getsignal(signal.SIGINT) is before


def test_a_validation_is_torn_and_made_up_for(table: SampleTable, tmp_path: Path) -> None:
    config = recipe()
    calls = 0
    honest = mean_feature(table, config)

    def validate(method: Method) -> Mapping[str, float]:
        nonlocal calls
        calls += 1
        if calls == 2:
            signal.raise_signal(signal.SIGTERM)
            pytest.fail("the signal did not tear the validation")
        return honest(method)

    run = open_run(tmp_path / "run", config, table)
    with pytest.raises(TrainingInterrupted, match="iteration 8 of stage joint"):
        fit(table, config, run, method=build(config, table), validate=validate, progress=False)
    assert state(run.path)["position"]["validation_due"]
    fit(table, config, run, method=build(config, table), validate=validate, progress=False)
    assert calls == 4
    plain = open_run(tmp_path / "plain", config, table)
    fit(table, config, plain, method=build(config, table), validate=honest, progress=False)
    assert_same_state(state(plain.path), state(run.path))
    assert [line["iteration"] for line in lines(run.path) if "validation" in line] == [4, 8, 12]


def test_a_signal_before_immediate_work_stops_it_at_its_start() -> None:
    done = []
    with Interruption() as interruption:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(StopNow), interruption.immediate():
            done.append("work")
    assert not done
    assert interruption.received == signal.SIGTERM


def test_outside_the_main_thread_nothing_is_heard() -> None:
    heard: list[int] = []

    def enter() -> None:
        with Interruption() as interruption:
            heard.append(interruption.received)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert heard == [0]
