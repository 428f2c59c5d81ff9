"""Packages, modules and data, listed one by one; everything else is in pyproject.toml."""

from setuptools import setup

setup(
    packages=[
        "reviews",
        "reviews.corpora",
        "reviews.recipes",
        "mapreduce",
        "mpi_train",
        "mpi_train.models",
        "reports",
        "cluster",
        "cluster.iam",
        "bootstrap",
        "benchmarks",
    ],
    py_modules=["reviewmill", "demo"],
    package_data={
        "reviews.recipes": ["*.yaml"],
        "reports": ["*.html"],
        "cluster.iam": ["*.json"],
        "bootstrap": ["*.sh", "emr-requirements.txt"],
    },
)
