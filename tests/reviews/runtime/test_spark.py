"""Settings of Spark as commands are given them."""

import pytest

from reviews.errors import EngineError, UserError
from reviews.runtime.spark import check_master, spark_settings


def test_the_last_of_several_settings_counts() -> None:
    assert spark_settings(["spark.a=1", "spark.b=x=y", "spark.a=2"]) == {
        "spark.a": "2", "spark.b": "x=y"}
    assert spark_settings([]) == {}


def test_a_preset_stands_for_its_settings_and_others_are_laid_over_it() -> None:
    found = spark_settings(["electronics", "spark.executor.memory=4g"])
    assert found["spark.executor.memory"] == "4g"
    assert found["spark.executor.memoryOverhead"] == "2g"
    assert found["spark.default.parallelism"] == "48"
    assert found["spark.sql.shuffle.partitions"] == "200"
    assert found["spark.sql.adaptive.enabled"] == "true"


@pytest.mark.parametrize("setting", ["electronic", "a=b", "spark.a", ""])
def test_anything_else_is_refused_with_what_is_allowed(setting: str) -> None:
    with pytest.raises(UserError, match=r"give spark\.KEY=VALUE, or the name of a preset"):
        spark_settings([setting])


def test_an_address_without_a_listener_is_named() -> None:
    with pytest.raises(EngineError, match=r"cannot be reached at spark://127\.0\.0\.1:1: "):
        check_master("spark://127.0.0.1:1")
    with pytest.raises(UserError, match="give spark://HOST:PORT"):
        check_master("spark://127.0.0.1")
    check_master("local[2]")
