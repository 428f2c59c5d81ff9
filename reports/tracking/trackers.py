"""TensorBoard and MLflow, as places that figures and options of a run are put to."""

from collections.abc import Mapping
from typing import Any

from reports.tracking.scalars import Scalars

MOST_TEXT = 6000  # characters of a value that MLflow takes
BATCH = 900  # figures that MLflow takes at once: at most 1,000


class TensorBoard:
    """Event file in a folder, which `tensorboard --logdir` reads; written by its own package."""

    def __init__(self, folder: str, name: str, options: Mapping[str, Any], started: float) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._summary = Event, Summary
        self._writer = EventFileWriter(f"{folder}/{name}")
        table = "| option | value |\n|---|---|\n" + "".join(
            f"| {key} | {value} |\n" for key, value in options.items())
        text = Summary.Value(
            tag="options", tensor=TensorProto(dtype="DT_STRING", string_val=[table.encode()]),
            metadata=SummaryMetadata(
                plugin_data=SummaryMetadata.PluginData(plugin_name="text")))
        self._writer.add_event(Event(wall_time=started, step=0, summary=Summary(value=[text])))

    def put(self, scalars: Scalars) -> None:
        """Write the figures of an update."""
        values = [self._summary.Value(tag=name, simple_value=value)
                  for name, value in scalars.values.items()]
        self._writer.add_event(self._event(
            wall_time=scalars.time, step=scalars.step, summary=self._summary(value=values)))

    def flush(self) -> None:
        """Have readers see what was written."""
        self._writer.flush()

    def close(self, finished: bool) -> None:
        """End of the export."""
        self._writer.close()


class MLflow:
    """Run of an experiment in MLflow, at a tracking URI such as sqlite:///mlflow.db."""

    def __init__(
        self, uri: str, experiment: str, name: str, options: Mapping[str, Any], started: float
    ) -> None:
        from mlflow.entities import Metric, Param
        from mlflow.tracking import MlflowClient

        self._metric, self._client = Metric, MlflowClient(uri)
        found = self._client.get_experiment_by_name(experiment)
        number = found.experiment_id if found else self._client.create_experiment(experiment)
        self._run = self._client.create_run(
            number, start_time=round(1000 * started), run_name=name).info.run_id
        self._client.log_batch(self._run, params=[
            Param(key, str(value)[:MOST_TEXT]) for key, value in options.items()])
        self._waiting: list[Any] = []
        self._time = started

    def put(self, scalars: Scalars) -> None:
        """Take in the figures of an update."""
        self._time = scalars.time
        self._waiting += [self._metric(name, value, round(1000 * scalars.time), scalars.step)
                          for name, value in scalars.values.items()]
        if len(self._waiting) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Put what was taken in."""
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            self._client.log_batch(self._run, metrics=batch)

    def close(self, finished: bool) -> None:
        """End of the export; a run that is not finished counts as ended early."""
        self.flush()
        self._client.set_terminated(self._run, "FINISHED" if finished else "KILLED",
                                    round(1000 * self._time))
