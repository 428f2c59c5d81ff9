"""mrjob's Hadoop runner without a JVM for each file: HDFS is read and written over WebHDFS.

mrjob calls `hadoop fs` once for the folder of a job, once for each file that it uploads, and once
for each folder of logs after a failure, and a JVM takes one to three seconds to start.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from mrjob.fs.composite import CompositeFilesystem
from mrjob.fs.hadoop import HadoopFilesystem
from mrjob.fs.local import LocalFilesystem
from mrjob.hadoop import HadoopJobRunner

from reviews.errors import UserError
from reviews.storage.files import is_hdfs, name_node_of
from reviews.storage.folders import join, names_below, put, read_whole
from reviews.storage.input_file import size_of

_VERSION = re.compile(r"hadoop-streaming-(\d+(?:\.\d+)+)")


class HadoopRunner(HadoopJobRunner):  # type: ignore[misc]
    """mrjob's runner, with files in HDFS over WebHDFS where Hadoop's configuration names it."""

    @property
    def fs(self) -> CompositeFilesystem:
        """The file systems that mrjob uses: HDFS and the local one."""
        if self._fs is None and name_node_of(os.environ):
            self._fs = CompositeFilesystem()
            self._fs.add_fs("hadoop", WebHdfs(self._opts["hadoop_bin"] or None))
            self._fs.add_fs("local", LocalFilesystem())
        return super().fs

    def get_hadoop_version(self) -> str:
        """The version in the name of the streaming jar, else that which `hadoop version` says."""
        named = _VERSION.search(Path(self._opts["hadoop_streaming_jar"] or "").name)
        return named[1] if named else str(super().get_hadoop_version())


class WebHdfs(HadoopFilesystem):  # type: ignore[misc]
    """The part of mrjob's file system that a job of ours needs, over WebHDFS."""

    def can_handle_path(self, path: str) -> bool:
        """True for an address of HDFS."""
        return is_hdfs(path)

    def mkdir(self, path: str) -> None:
        """Nothing: a file makes the folders above it."""

    def put(self, src: str, path: str) -> None:
        """Copy a local file to an address."""
        put(Path(src), path)

    def exists(self, path_glob: str) -> bool:
        """True for a file, or a folder with a file below it."""
        return any(True for _ in self.ls(path_glob))

    def ls(self, path_glob: str) -> Iterator[str]:
        """The addresses of a file, or of all files below a folder."""
        if found := names_below(path_glob):
            yield from (join(path_glob, name) for name in found)
        else:
            try:
                size_of(path_glob)
            except UserError:
                return
            yield path_glob

    def _cat_file(self, path: str) -> Iterator[bytes]:
        yield read_whole(path)
