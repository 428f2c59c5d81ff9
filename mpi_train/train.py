"""The training loop: one plan, whoever works on it."""

import platform
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn

from safetensors import SafetensorError

from mpi_train.balance.balancer import UnusableTimes
from mpi_train.checkpoint import CheckpointWriter, last_checkpoint
from mpi_train.chosen_rows import ChosenRows
from mpi_train.configuration.config import TrainingConfig
from mpi_train.data import BatchReader, SplitReader, open_store
from mpi_train.exchange.choose_backend import settle_backend
from mpi_train.exchange.communicator import Communicator, Stopped
from mpi_train.exchange.process_setup import processes_text
from mpi_train.gather_logits import validate
from mpi_train.model_folder import save_model
from mpi_train.monitoring.profiler import Profiler
from mpi_train.monitoring.resources import ResourceMeter
from mpi_train.monitoring.run_lock import RunLock
from mpi_train.monitoring.run_log import RunLog, environment, store_entry
from mpi_train.monitoring.stop_signals import StopSignals
from mpi_train.optimization.schedules import Schedule
from mpi_train.optimization.teacher import keep_logits, teacher_logits
from mpi_train.replica import new_model
from mpi_train.sharding.sharded_checkpoint import ShardedCheckpointWriter
from mpi_train.smote import synthetic_rows
from mpi_train.train_state import EpochTotals, TrainState
from mpi_train.update import NotFinite, Update, Updater
from reviews.errors import UserError, disk_is_full
from reviews.run_folder import loss_scale_line, noise_line
from reviews.storage.files import is_remote
from reviews.storage.folders import join
from reviews.storage.mirror import RunMirror


def train(config: TrainingConfig, communicator: Communicator) -> dict[str, Any]:
    """Train as configured; return the summary. All ranks of the communicator call this.

    Raises Stopped, on all ranks: before the update when a loss is not finite, after it and a
    checkpoint when a rank was asked to end. UserError, on rank 0, when its disk is full.
    """
    files = config.files
    lock = RunLock(files.folder, platform.node())
    mirror = RunMirror(files.out) if is_remote(files.out) else None
    try:
        communicator.from_root(lock.acquire)
        if mirror is not None:
            communicator.from_root(partial(mirror.fetch, config.run.resume))
        with StopSignals() as interruption:
            run = Run(config, communicator, interruption, lock, mirror)
            run.greet()
            over = run.is_over()
            if over:
                run.run_log.log(f"nothing is left to do: the run was complete after update "
                                f"{run.step}, and its model is in {join(files.out, 'model')}")
            while not over:
                epoch = run.step // run.plan.updates
                run.train_epoch(epoch)
                run.end_epoch(epoch)
                over = run.is_over()
                if not over:
                    run.end_if_asked()
            return run.summarize()
    except (OSError, SafetensorError) as error:
        if disk_is_full(error):
            out = files.folder.resolve()
            raise UserError(f"no space left on the disk of {out}") from None
        raise
    finally:
        communicator.close()
        lock.release()


class Run:
    """A run under way: everything that lasts longer than an update."""

    def __init__(
        self, config: TrainingConfig, communicator: Communicator, interruption: StopSignals,
        lock: RunLock, mirror: RunMirror | None,
    ) -> None:
        self._started = time.perf_counter()
        self.config, self.communicator, self.interruption = config, communicator, interruption
        self._lock, self._mirror = lock, mirror
        self.store = open_store(config.files, communicator)
        data, seed = config.data, config.run.seed
        chosen = ChosenRows(data.rows, self.store) if data.rows else None
        teacher = teacher_logits(config, self.store, communicator)
        reader = BatchReader(
            self.store, "train", data.batch_size, seed, data.window, data.times,
            config.reads_features, synthetic_rows(self.store, seed) if data.smote else None, chosen,
            teacher)
        held_out = None
        if data.validation_rows:
            held_out = ChosenRows(data.validation_rows, self.store, "--validation-rows")
        if chosen and held_out:
            chosen.check_apart(held_out)
        self.validation = SplitReader(
            self.store, "train" if held_out else "validation", config.reads_features,
            chosen=held_out)
        self.plan = reader.plan
        updates, most = config.duration.epochs * self.plan.updates, config.duration.max_steps
        self.total = min(updates, most) if most else updates
        self.schedule = Schedule.of(
            config.schedule, data.batch_size, self.total, self.plan.updates)

        self.options = communicator.from_root(lambda: config.model_options(self.store))
        model = new_model(config, self.options, self.store, communicator)
        config, self._choice = settle_backend(config, communicator, model)
        self.config = config
        self.updater = Updater(config, communicator, reader, model)
        self.replica = self.updater.replica
        # Ranks that have a part in averages, checkpoints and bundles.
        self._writes = self.replica.sharded or communicator.rank == 0
        self.state = TrainState(self.store.fingerprint, chosen.digest if chosen else "")
        self.starts_anew = False  # though it was to be resumed
        if config.run.resume:
            self._resume()
        self._earlier_s = self.state.seconds
        self._asked = 0  # signal that asked a rank to end in an epoch's last update
        self.replica.broadcast()
        self.updater.coordinator.restore(self.state.balancer)
        self.run_log = RunLog(config, communicator.rank == 0)
        if teacher is not None and communicator.rank == 0:
            keep_logits(self.run_log.out, teacher, self.store)
        self.run_log.forget_after(self.step, self.step // self.plan.updates)
        if mirror is not None:
            communicator.from_root(mirror.put)  # an address that cannot be written is seen now
        kept = config.checkpoints.checkpoints_kept
        self.writer = (
            ShardedCheckpointWriter(self.run_log.out, kept, communicator, mirror)
            if self.replica.sharded else CheckpointWriter(self.run_log.out, kept, mirror))
        self._checkpointed = time.monotonic()
        self.resources = ResourceMeter(communicator.device)
        profiles = config.run.profile and communicator.rank == 0
        self.profiler = Profiler(self.run_log.out / "profile") if profiles else None

    @property
    def step(self) -> int:
        """Updates done."""
        return self.state.step

    def _resume(self) -> None:
        """Go on from the last checkpoint, if there is one."""
        out, folder = self.config.files.out, self.config.files.folder
        checkpoint = self.communicator.from_root(lambda: last_checkpoint(folder))
        self.starts_anew = checkpoint is None
        if checkpoint is None:
            return
        state = checkpoint.state
        if state.rows != self.state.rows:
            self.communicator.agree(f"{self.config.data.rows} is not what {out} was trained on")
        if state.store != self.store.fingerprint:
            self.communicator.agree(
                f"{self.config.files.store} is not the store that {out} was trained on")
        self.state = state
        if state.loss_scale:
            self.replica.loss_scale.restore(**state.loss_scale)
        self.replica.load(checkpoint.tensors)

    def greet(self) -> None:
        """Say what is about to happen."""
        ranks = self.communicator
        if self.starts_anew:
            self.run_log.log(f"{self.run_log.out} has no checkpoint to resume from: the run "
                             "starts with its first update")
        shards = " in shards" * self.replica.sharded
        self.run_log.log(
            f"{self.plan.rows:,} reviews, {self.plan.updates:,} updates an epoch, "
            f"{self.replica.parameters:,} parameters{shards}, "
            f"{processes_text(ranks.size, ranks.backend, ranks.device)}")
        for line in filter(None, (self._choice, ranks.unused_gpus)):
            self.run_log.log(line)

    def is_over(self) -> bool:
        """True when no update is left, or --patience is at its end; all ranks ask together."""
        # Rank 0 validates, and what it writes is no waiting for a reduction.
        worse: int = self.communicator.from_root(lambda: self.state.worse)
        return self.step >= self.total or 0 < self.config.duration.patience <= worse

    def train_epoch(self, epoch: int) -> None:
        """Do an epoch's updates, or those that are left of it and of the run."""
        config, before = self.config, epoch * self.plan.updates
        last = min(self.plan.updates, self.total - before)
        self._epoch_started = time.perf_counter()
        self.updater.timer.take()  # what lies between epochs belongs to no update
        self.resources.take()
        self.run_log.start_epoch(self.plan.rows, self.state.epoch.reviews,
                                 f"epoch {epoch + 1}/{config.duration.epochs}")
        number = self.step - before
        try:
            while number < last:
                if self.updater.coordinator.parked:
                    number = self.updater.sit_out(last)
                    self.state.step = before + number
                    continue
                rate = self.schedule.rate(self.step)
                try:
                    update = self.updater.run(epoch, number, rate, self.interruption.signal)
                except NotFinite as error:
                    self._stop(epoch, number, str(error))
                except UnusableTimes as error:
                    self._stop(epoch, number, f"{{}}: {error}")
                if update:
                    self._record(epoch, update, rate)
                    number += 1
                    self.resources.sample()
                    self._between_updates(number, last, update.asked)
        finally:
            self.run_log.end_epoch()
        self.updater.coordinator.dismiss()

    def _between_updates(self, done: int, last: int, asked: int) -> None:
        """After `done` of an epoch's updates, of which this run does `last`."""
        if self._writes:
            self.replica.average(self.step)
            self.writer.check()
            # At the end of an epoch or of the run, the validation comes before the checkpoint.
            if (self._checkpoint_is_due() or asked) and done < last:
                self._checkpoint()
        self._asked = asked
        if asked and done < last:
            # Who ends first may take the others along, so rank 0 has to be done.
            self.writer.wait()
            self.updater.barrier()
            stopped = self._ended_by(asked)
            self.updater.coordinator.dismiss(str(stopped), stopped.status)
            raise stopped

    def end_if_asked(self) -> None:
        """Raise Stopped, on all ranks, between two epochs: when a rank was asked to end in the last
        update of one, or rank 0 since then. The checkpoint of the epoch is there."""
        asked: int = self.communicator.from_root(
            lambda: self._asked or self.interruption.signal)
        if asked:
            self.writer.wait()
            self.communicator.barrier()
            raise self._ended_by(asked)

    def _ended_by(self, asked: int) -> Stopped:
        reason = f"ended by {signal.Signals(asked).name} after update {self.step} of {self.total}"
        self.run_log.log(f"{reason}: --resume goes on from here")
        return Stopped(reason, 128 + asked)

    def _checkpoint_is_due(self) -> bool:
        options = self.config.checkpoints
        every, seconds = options.checkpoint_every, 60 * options.checkpoint_minutes
        late = bool(seconds) and time.monotonic() - self._checkpointed >= seconds
        if seconds and self.replica.sharded:
            late = self.communicator.from_root(lambda: late)
        return late or (every > 0 and self.step % every == 0)

    def _checkpoint(self) -> None:
        """On ranks that have a part in it: begin to write down where the run stands."""
        self._checkpointed = time.monotonic()
        epoch = self.state.epoch
        if epoch.reviews:
            seconds = epoch.seconds + time.perf_counter() - self._epoch_started
            epoch = replace(epoch, seconds=seconds)
        state = replace(self.state, seconds=self._seconds(), epoch=epoch,
                        balancer=self.updater.coordinator.state(),
                        loss_scale=self.replica.loss_scale.state())
        if self.communicator.rank == 0:
            self._lock.check()
        self.writer.write(state, self.replica.full_state)

    def _stop(self, epoch: int, number: int, problem: str) -> NoReturn:
        place = f"epoch {epoch + 1}, update {number + 1}"
        reason = problem.format(place) + ": stopped before the update"
        self.run_log.record("failure", step=self.step + 1, epoch=epoch, update=number,
                            reason=reason)
        self.run_log.log(reason)
        self.writer.wait()
        self.updater.barrier()
        self.updater.coordinator.dismiss(reason, 3)
        raise Stopped(reason, 3) from None

    def _record(self, epoch: int, update: Update, rate: float) -> None:
        reviews = int(update.reviews.sum())
        state = self.state
        state.step += 1
        state.reviews += reviews
        state.step_seconds += update.step_s
        state.skipped += update.skipped
        state.epoch.loss += update.loss * reviews
        state.epoch.reviews += reviews
        if update.noise:
            state.epoch.noise.add(*update.noise)
        if update.renewed:
            self.run_log.record(
                "rebalance", step=self.step, shares=update.reviews.tolist(),
                share_tokens=update.tokens.tolist(), **self.updater.coordinator.lines())
        ceiling = self.updater.coordinator.ceiling(update.tokens, update.reduction_s)
        self.run_log.record("step", step=self.step, epoch=epoch, learning_rate=rate,
                            ceiling=ceiling, **update.record())
        self.run_log.advance(reviews, update.loss, update.efficiency)
        if self.profiler is not None:
            self.profiler.after_update(update.phases)

    def end_epoch(self, epoch: int) -> None:
        """Validate, keep the weights if they are to be kept, and write a checkpoint."""
        config, done = self.config, self.state.epoch
        reviews = max(done.reviews, 1)
        seconds = done.seconds + time.perf_counter() - self._epoch_started
        used = self.communicator.world.allgather(self.resources.take())
        # A slow rank has less to do here, too, and a parked one, with its old weights, nothing.
        ratios = self.communicator.from_root(lambda: self.updater.coordinator.ratios)
        figures = None
        if (epoch + 1) % config.duration.evaluate_every == 0 or self.step == self.total:
            figures = self._evaluate(epoch, ratios)
        loss, speed, noise = done.loss / reviews, reviews / seconds, done.noise.figures()
        self.state.noise_scale = noise or self.state.noise_scale
        scale = self.replica.loss_scale.state()
        self.run_log.record("epoch", epoch=epoch, step=self.step, loss=loss, reviews=reviews,
                            seconds=seconds, reviews_per_s=speed, validation=figures,
                            **{name: [rank[name] for rank in used] for name in used[0]},
                            **({"noise_scale": noise} if noise else {}),
                            **({"loss_scale": scale} if scale else {}))
        accuracy = f", validation accuracy {figures['accuracy']:.2%}" if figures else ""
        self.run_log.log(f"epoch {epoch + 1}/{config.duration.epochs}: loss {loss:.4f}, "
                         f"{speed:,.0f} reviews/s{accuracy}")
        if noise:
            self.run_log.log(noise_line(noise))
        if scale:
            self.run_log.log(loss_scale_line(scale))
        if self.step == (epoch + 1) * self.plan.updates:
            self.state.epoch = EpochTotals()
        else:  # --max-steps ends the run inside the epoch
            done.seconds = seconds
            self._epoch_started = time.perf_counter()
        if self._writes:
            self._checkpoint()

    def _evaluate(self, epoch: int, ratios: Sequence[float]) -> dict[str, Any] | None:
        """Validate on all ranks, and write the model if it is the one to keep."""
        if not self.updater.coordinator.parked:
            self.replica.broadcast_average()
        own = self.validation.blocks(self.communicator.rank, ratios)
        with self.replica.predicting(own) as (model, blocks):
            figures = validate(model, blocks, self.communicator, self.store.classes,
                               self.config.data.micro_batch_tokens)
            if self.communicator.from_root(lambda: self._keeps(epoch, figures)) and self._writes:
                weights = self.replica.arrays()
                if self.communicator.rank == 0:
                    save_model(self.config, self.options, weights, self.store, figures)
        return figures

    def _keeps(self, epoch: int, figures: dict[str, Any] | None) -> bool:
        """True on rank 0 for weights to keep; counts the validations that were no better."""
        by, state = self.config.keep.keep_by, self.state
        accuracy, score = (figures["accuracy"], figures[by]) if figures else (None, None)
        score = -score if score is not None and by == "loss" else score
        better = bool(figures) and (
            state.highest is None or (score is not None and score > state.highest))
        if better:
            state.highest, state.worse = score, 0
        else:
            state.worse += 1
        keeps = better or self.config.keep.keep != "best"
        if keeps:
            state.best = {"epoch": epoch, "accuracy": accuracy}
            if self._mirror is not None:
                self.writer.wait()  # the mirror reads what is replaced now
        return keeps

    def _seconds(self) -> float:
        """Seconds of the run, with those before it was resumed."""
        return float(self._earlier_s + time.perf_counter() - self._started)

    def summarize(self) -> dict[str, Any]:
        """Write and return the summary, when the last checkpoint is there."""
        self.writer.wait()
        ranks, state = self.communicator, self.state
        summary = {
            "finished": True, "epochs": -(-self.step // self.plan.updates), "steps": self.step,
            "seconds": self._seconds(),
            "reviews_per_s": state.reviews / max(state.step_seconds, 1e-9),
            "skipped_updates": state.skipped, "best": state.best,
            "parameters": self.replica.parameters, "ranks": ranks.size, "backend": ranks.backend,
            "device": ranks.device.type, "hosts": ranks.hosts,
            "store": store_entry(self.store), "environment": environment(),
        }
        if scale := self.replica.loss_scale.state():
            summary["loss_scale"] = scale
        if state.noise_scale:
            summary["noise_scale"] = state.noise_scale
        if self.replica.sharded:
            summary["shard_bytes"] = ranks.world.allgather(self.replica.shard_bytes())
        self.run_log.summarize(**summary)
        if self.profiler is not None:
            self.profiler.close()
        if self._mirror is not None:
            ranks.from_root(self._mirror.put)
        return summary
