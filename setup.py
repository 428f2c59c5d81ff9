"""Packages, modules and data, listed one by one; everything else is in pyproject.toml."""

from setuptools import setup

setup(
    packages=[
        "benchmarks",
        "benchmarks.peers",
        "benchmarks.ranks",
        "bootstrap",
        "cluster",
        "cluster.iam",
        "compare",
        "mapreduce",
        "mapreduce.engines",
        "mapreduce.partitions",
        "models",
        "models.nets",
        "mpi_train",
        "mpi_train.balance",
        "mpi_train.configuration",
        "mpi_train.exchange",
        "mpi_train.monitoring",
        "mpi_train.optimization",
        "reports",
        "reviews",
        "reviews.corpora",
        "reviews.corpora.json",
        "reviews.recipes",
        "reviews.runtime",
        "reviews.storage",
        "reviews.text",
        "scoring",
        "scoring.service",
    ],
    py_modules=["reviewmill", "demo"],
    package_data={
        "reviews.recipes": ["*.yaml"],
        "reports": ["*.html"],
        "scoring.service": ["*.html"],
        "cluster.iam": ["*.json"],
        "bootstrap": ["*.sh", "emr-requirements.txt"],
    },
)
