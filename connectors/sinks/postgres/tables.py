"""The tables of the relational store, as data: what they are made from, checked against, and written by."""

from typing import Literal, LiteralString

SCHEMA = "travelos"  # a schema of our own: the database may be one that others use, or whose changes we capture

ColumnType = Literal["text", "text[]", "integer", "numeric", "double precision", "date", "timestamp with time zone"]

# Besides these, each table has `key text PRIMARY KEY`. A new column goes to the end of its table, `open` adds it, and
# none goes away or moves: version lines name columns by their places here.
TABLES: dict[str, dict[str, ColumnType]] = {
    "messages": {
        "user_id": "text",
        "conversation_id": "text",
        "role": "text",
        "text": "text",
        "intent": "text",
        "trip_id": "text",
        "sent_at": "timestamp with time zone",
    },
    "trips": {
        "user_id": "text",
        "title": "text",
        "destinations": "text[]",
        "starts_on": "date",
        "ends_on": "date",
        "place_ids": "text[]",
        "status": "text",
        "planned_at": "timestamp with time zone",
        "started_at": "timestamp with time zone",
        "ended_at": "timestamp with time zone",
    },
    "bookings": {
        "user_id": "text",
        "place_id": "text",
        "place_name": "text",
        "trip_id": "text",
        "starts_at": "timestamp with time zone",
        "ends_at": "timestamp with time zone",
        "guests": "integer",
        "amount": "numeric",
        "currency": "text",
        "status": "text",
        "reason": "text",
        "cancelled_at": "timestamp with time zone",
    },
    "urgent_requests": {
        "user_id": "text",
        "category": "text",
        "text": "text",
        "lat": "double precision",
        "lon": "double precision",
        "requested_at": "timestamp with time zone",
    },
    "traveller_details": {
        "user_id": "text",
        "email": "text",
        "email_index": "text",
        "phone": "text",
        "phone_index": "text",
        "passport": "text",
        "card": "text",
        "home": "text",
        "given_at": "timestamp with time zone",
    },
    "erasure_requests": {
        "user_id": "text",
        "reason": "text",
        "status": "text",
        "requested_at": "timestamp with time zone",
    },
}

INDEXES: dict[str, tuple[LiteralString, ...]] = {
    "messages": ("conversation_id, sent_at", "user_id, sent_at"),
    "trips": ("user_id",),
    "bookings": ("user_id", "place_id"),
    "urgent_requests": ("user_id", "requested_at"),
    "traveller_details": ("email_index", "phone_index"),
    "erasure_requests": ("user_id",),
}
