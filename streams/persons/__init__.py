"""What belongs to a person: `Holdings(user)` collects it from writes, `streams.persons.topics` fills it from Kafka."""
