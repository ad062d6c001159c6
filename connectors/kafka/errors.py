"""What goes wrong with a cluster and its topics, in words that name the topic or option and the fix."""

from confluent_kafka import KafkaError, KafkaException

NOT_ALLOWED = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)
# The client's own errors have names with an underscore; they are public all the same.
REFUSED = (KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED)
# What is said of brokers that cannot be reached, have just gone or have just come: asking again helps.
# `_DESTROY_BROKER` answers a request under way when the client let go of a broker, as it does of one that was killed.
NO_ANSWER = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._DESTROY_BROKER,
        KafkaError._UNKNOWN_BROKER,
        KafkaError._NODE_UPDATE,
        KafkaError._WAIT_COORD,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.NOT_CONTROLLER,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.THROTTLING_QUOTA_EXCEEDED,
    }
)


class TopicsError(Exception):
    """Topics are not what they have to be; the message names them and the fix."""


class KafkaUnavailable(Exception):  # noqa: N818 - reads as a state, which it is
    """The cluster does not answer, or does not let us in; the message names the option."""


def error_of(exception: KafkaException) -> KafkaError:
    """Return what an exception of the driver carries."""
    error: KafkaError = exception.args[0]
    return error


def explained(topic: str, error: KafkaError, replication: int) -> str:
    """Return what an answer of the brokers about a topic means, and what to do."""
    if error.code() in NOT_ALLOWED:
        return (
            f"topic `{topic}`: {error.str()}; grant CREATE, DESCRIBE_CONFIGS and ALTER_CONFIGS on it to the user of "
            "kafka.username, or create it yourself and set kafka.create_topics = false"
        )
    if error.code() == KafkaError.INVALID_REPLICATION_FACTOR:
        return f"topic `{topic}`: kafka.replication = {replication} does not suit the cluster: {error.str()}"
    return f"topic `{topic}`: {error.str()} ({error.name()})"
