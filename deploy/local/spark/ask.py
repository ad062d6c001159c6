# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# Spark is fetched for the check that needs it, see `install`.
"""Asks Spark: tables and statements are JSON from standard input, the rows of each go to standard output as JSON."""

import json
import sys

from pyspark.sql import SparkSession

asked = json.load(sys.stdin)
options = {"spark.ui.enabled": "false", "spark.sql.session.timeZone": "UTC", "spark.sql.shuffle.partitions": "1"}
builder = SparkSession.builder.master("local[1]")
for name, value in options.items():
    builder = builder.config(name, value)
spark = builder.getOrCreate()
for name, folder in asked["tables"].items():
    spark.read.option("mergeSchema", "true").parquet(folder).createOrReplaceTempView(name)
answers = [[list(row) for row in spark.sql(statement).collect()] for statement in asked["statements"]]
spark.stop()
json.dump(answers, sys.stdout, default=str)
