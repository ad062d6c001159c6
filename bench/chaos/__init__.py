"""What the runtime survives: workers, brokers and state are broken on purpose, and every record is accounted for.

python -m bench.chaos [SCENARIO ...] [--seed N] [--short] [--events N] [--kills N] [--keep FOLDER]

The parts: `load` (what goes in, and what the brokers acknowledged), `worker` (the app), `trial` (a scenario's topics
and workers), `checker` (what has to hold afterwards; pure), `versioned` (the outputs through a versioned sink).
"""
