"""`reviewmill score --engine spark` as a program of spark-submit, which names master and settings.

    spark-submit --master spark://HOST:PORT scoring/spark_job.py MODEL INPUT... --out FOLDER
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    # Python puts the folder of a program in front, whose modules have names of their own there.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from reviewmill import main

    sys.exit(main(["score", *sys.argv[1:], "--engine", "spark"]))
