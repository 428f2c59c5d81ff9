"""Engines that run the jobs: inline, local, Hadoop, Spark, Dask, EMR."""
