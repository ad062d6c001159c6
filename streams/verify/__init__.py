"""Does every store hold what follows from what Kafka holds, exactly once?"""
