-- Bike-share stations. A station runs empty, and somebody who stands there wants
-- to know: how long until there is a bike again?
--
-- Two topics come in, both keyed by station, so that each has the events of a
-- station in order. As JSON:
--   emptied   {"station_id", "emptied_at", "capacity", "raining"}
--   refilled  {"station_id", "empty_since", "refilled_at"}
-- The third is what predict has answered: 04_labels.sql waits with it.
--
-- The connection keeps the name redpanda: where Kafka has TLS or users, one of
-- that name is made before these files are applied.
CREATE CONNECTION IF NOT EXISTS redpanda TO KAFKA (
    BROKER '${kafka_broker}',
    SECURITY PROTOCOL = 'PLAINTEXT'
);

CREATE SOURCE IF NOT EXISTS emptied_raw
FROM KAFKA CONNECTION redpanda (TOPIC 'emptied')
KEY FORMAT TEXT
VALUE FORMAT JSON
INCLUDE PARTITION AS part, OFFSET AS off, TIMESTAMP AS kafka_ts
ENVELOPE NONE;

CREATE SOURCE IF NOT EXISTS refilled_raw
FROM KAFKA CONNECTION redpanda (TOPIC 'refilled')
KEY FORMAT TEXT
VALUE FORMAT JSON
INCLUDE PARTITION AS part, OFFSET AS off, TIMESTAMP AS kafka_ts
ENVELOPE NONE;

CREATE SOURCE IF NOT EXISTS predictions_raw
FROM KAFKA CONNECTION redpanda (TOPIC 'predictions')
KEY FORMAT TEXT
VALUE FORMAT JSON
INCLUDE PARTITION AS part, OFFSET AS off, TIMESTAMP AS kafka_ts
ENVELOPE NONE;
