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
        "benchmarks",
    ],
    py_modules=["reviewmill", "demo"],
    package_data={
        "reviews.recipes": ["*.yaml"],
        "reports": ["*.html"],
    },
)
